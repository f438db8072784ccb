"""What is done with one photo: decode it, make the request, ground it, generate, judge, and make a record."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from olpipe.asking.interpreting import interpreter
from olpipe.describing.recipe import Recipe
from olpipe.describing.scores import with_scores
from olpipe.describing.templates import check_evidence, told
from olpipe.engine.manager import Engine
from olpipe.engine.stream import Delivery, Stream
from olpipe.errors import BackendCrashed
from olpipe.generation import Completion, FinishReason, GenerateRequest
from olpipe.guidance.validate import validate
from olpipe.image import USUAL_PIXELS, DecodedImage, ImageFile
from olpipe.imaging.decode import REFUSE_PIXELS, decode
from olpipe.imaging.sandbox.pool import Sandbox
from olpipe.imaging.taken import day_taken
from olpipe.interfaces import TaskContext
from olpipe.model import LoadOptions
from olpipe.perception.certainty import certainty_of
from olpipe.perception.evidence_cache import EvidenceCache
from olpipe.perception.ground import Grounded, Grounder
from olpipe.plugins import Plugins
from olpipe.record import RESERVED, TAG_SCORES, Certainty, Evidence, ImageInfo, ReadText, Record
from olpipe.store.findings import Finding
from olpipe.tagging.tagger import Tagger

PREPARING_S = 60.0
"""A model that was loaded stays at least so long if nothing is asked of it."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a model is asked, apart from what a recipe says.

    Attributes:
        client: Who asks. Clients whose requests wait for the same model are served in turns.
        keep_alive_s: How long the model stays loaded afterwards. None takes the settings' value; below 0 means for
            ever.
        load: How the model is loaded, apart from the backend, the image tokens and the device of the recipe.
        context_length: Most tokens of prompt plus answer; 0 takes what the model was loaded with.
        refuse_pixels: A photo with more pixels is refused.
    """

    client: str = ""
    keep_alive_s: float | None = None
    load: LoadOptions = field(default_factory=LoadOptions)
    context_length: int = 0
    refuse_pixels: int = REFUSE_PIXELS


@dataclass(frozen=True, slots=True)
class Seen:
    """A photo that was decoded, and nothing else yet.

    Attributes:
        image: The photo.
        decoded: Its pixels.
        told: The prompt as it is for this photo; empty where it is the same for all.
        image_ns: Time to decode the photo.
    """

    image: ImageFile
    decoded: DecodedImage
    told: str
    image_ns: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """A photo about which the model can be asked.

    Attributes:
        image: The photo.
        decoded: Its pixels.
        request: What is asked. Boxes are in pixels of the photo.
        evidence: What perceivers found in it; None where none looked at it.
        written: The same with the names that records have.
        image_ns: Time to decode the photo.
        ground_ns: Time the perceivers took.
    """

    image: ImageFile
    decoded: DecodedImage
    request: GenerateRequest
    evidence: Evidence | None
    written: Evidence | None
    image_ns: int
    ground_ns: int


class Describer:
    """A loaded model, ready to describe photos as a recipe says. Any thread may call it.

    `prepare`, `ask` and `record` make one record together, in this order. `olpipe.describing.failures` says which of
    their errors mean that a photo has no record.

    Attributes:
        slots: How many photos the model can work on at once.
    """

    def __init__(
        self,
        recipe: Recipe,
        plugins: Plugins,
        engine: Engine,
        evidence: EvidenceCache | None,
        *,
        finding: Finding | None = None,
        terms: Terms | None = None,
        sandbox: Sandbox | None = None,
    ) -> None:
        """Load the recipe's model, and wait for that.

        Args:
            recipe: What is asked.
            plugins: Where the task, perceivers and image loaders come from.
            engine: Runs the model.
            evidence: Where evidence is kept. None means that every photo is looked at again.
            finding: What `olpipe doctor` found out about the model.
            terms: How the model is asked; None stands for the usual terms.
            sandbox: Where photos are decoded; None decodes them in this process.
        """
        self._recipe = recipe
        self._tasks = plugins.tasks
        self._task = plugins.tasks.get(recipe.task)
        self._loaders = plugins.image_loaders if sandbox is None else sandbox.loaders(plugins.image_loaders)
        self._day = day_taken if sandbox is None else sandbox.day_taken
        self._engine = engine
        self._terms = terms or Terms()
        self._options = replace(
            self._terms.load, backend=recipe.backend, image_tokens=recipe.image_tokens, device=recipe.device
        )
        self._bundle = engine.bundle(recipe.model)
        self._sees = "vision" in self._bundle.config.capabilities
        self._context = recipe.context(with_sentences=self._bundle.config.writes(recipe.language))
        tagging = recipe.used_tagging
        self._tagger = None if tagging is None else Tagger(tagging, recipe.language)
        self._grounder = Grounder(
            self._bundle,
            plugins.perceivers,
            names=recipe.perceivers,
            cache=evidence,
            min_score=recipe.min_score,
            naming=Evidence.renamed if self._tagger is None else self._tagger.evidence,
            needs_words=recipe.needs_words,
        )
        check_evidence(recipe.prompt, with_perceivers=bool(self._grounder.perceivers))
        keep_s = self._terms.keep_alive_s  # the model must not be unloaded before it is asked
        keep_s = keep_s if keep_s is None or keep_s < 0 else max(keep_s, PREPARING_S)
        info = engine.load(recipe.model, keep_alive_s=keep_s, options=self._options).result()
        self._interpreter = interpreter(info, finding)
        self._model_pixels = info.fit_pixels or USUAL_PIXELS
        self._sizes = self._grounder.sizes(self._model_pixels)
        self.slots = info.slots

    def prepare(self, image: ImageFile) -> Prepared:
        """Decode a photo, have the task make the request, and add the evidence: `see` and `ground` together.

        Raises:
            ImageError: The photo cannot be decoded.
            UsageError: The model does not see, and there is no perceiver; or the perceivers have no words in the
                recipe's language.
            PluginError: A perceiver or the task failed.
        """
        return self.ground(self.see(image))

    def see(self, image: ImageFile) -> Seen:
        """Decode a photo.

        Raises:
            ImageError: The photo cannot be decoded.
        """
        started_ns = time.monotonic_ns()
        decoded = decode(
            image.read(),
            image.ref.path.suffix,
            self._loaders,
            refuse_pixels=self._terms.refuse_pixels,
            sizes=self._sizes,
        )
        decoded_ns = time.monotonic_ns()
        return Seen(image, decoded, told(self._context.prompt, image, self._day), decoded_ns - started_ns)

    def ground(self, seen: Seen) -> Prepared:
        """Have the task make the request for a photo, and add the evidence.

        Raises:
            UsageError: As for `prepare`.
            PluginError: A perceiver or the task failed.
        """
        started_ns = time.monotonic_ns()
        context = replace(self._context, prompt=seen.told) if seen.told else self._context
        grounded = self._grounded(seen.decoded, context)
        request, evidence, written = self._interpreter.asked(grounded.request), grounded.evidence, grounded.written
        if self._terms.context_length:
            request = replace(request, context_length=self._terms.context_length)
        ground_ns = time.monotonic_ns() - started_ns
        return Prepared(seen.image, seen.decoded, request, evidence, written, seen.image_ns, ground_ns)

    def ask(self, prepared: Prepared, delivery: Delivery | None = None) -> Stream:
        """Ask the model about a photo, and return its answer to come at once.

        Args:
            prepared: The photo.
            delivery: Where the chunks go, where the caller does not want to wait for them in a thread.
        """
        return self._engine.submit(
            self._interpreter.spoken(prepared.request),
            client=self._terms.client,
            keep_alive_s=self._terms.keep_alive_s,
            options=self._options,
            delivery=delivery,
        )

    def record(self, prepared: Prepared, completion: Completion) -> Record:
        """Judge the model's answer, have the task read it, and make the record.

        Raises:
            InvalidOutput: The answer does not fit the schema, or the task cannot use it.
            PluginError: The task failed.
            BackendCrashed: There is no answer, because the model was closed.
        """
        if completion.finish_reason is FinishReason.CANCELLED:
            raise BackendCrashed("the model was closed while it was at work", hint="run the same command again")
        text = self._interpreter.heard(prepared.request, completion)
        values = self._values(_value(prepared.request, text), prepared.decoded, prepared.written)
        return Record(
            file=prepared.image.ref.name,
            sha256=prepared.image.sha256,
            image=info_of(prepared.decoded),
            values=values,
            model=str(self._bundle.name),
            model_digest=self._bundle.digest,
            recipe=self._recipe.name,
            usage=completion.usage,
            truncated=completion.truncated,
            certainty=None if prepared.evidence is None else certainty_of(prepared.evidence),
            texts=() if prepared.evidence is None else _read(prepared.evidence),
            timings=completion.timings,
            image_ns=prepared.image_ns,
            ground_ns=prepared.ground_ns,
        )

    def _grounded(self, image: DecodedImage, context: TaskContext) -> Grounded:
        """Have the task make the request, and add the evidence.

        A model that does not see has nothing to say of a photo in which nothing was recognised. So the request is made
        once more then, without sentences.
        """
        grounded = self._ground(image, context)
        if self._sees or not (context.with_sentences and self._task.sentences) or grounded.evidence is None:
            return grounded
        if certainty_of(grounded.evidence) is not Certainty.UNRECOGNISED:
            return grounded
        return self._ground(image, replace(context, with_sentences=False))

    def _ground(self, image: DecodedImage, context: TaskContext) -> Grounded:
        return self._grounder.ground(self._request(image, context), model_pixels=self._model_pixels)

    def _request(self, image: DecodedImage, context: TaskContext) -> GenerateRequest:
        with self._tasks.blaming(self._task.name):
            request = self._task.build(image, context)
            if not isinstance(request, GenerateRequest):
                raise TypeError(f"it built a {type(request).__name__} where a request is expected")
        return request

    def _values(self, value: Any, image: DecodedImage, evidence: Evidence | None) -> Mapping[str, Any]:
        """Have the task read an answer. Values that a record cannot hold are an error of the task."""
        own = RESERVED | {TAG_SCORES} if self._task.scored else RESERVED
        with self._tasks.blaming(self._task.name):
            values = dict(self._task.parse(value, image))
            if taken := sorted(own & values.keys()):
                raise ValueError(f"it gave a value `{taken[0]}`, which every record has of its own")
            if self._tagger is not None:
                values = self._tagger.values(values, evidence)
            if self._task.scored:
                keys = {} if self._tagger is None else {"key": self._tagger.key}
                values = with_scores(values, evidence, **keys)
            orjson.dumps(values)  # fails here if they are not JSON; in the ledger, that would end the run
        return values


def _value(request: GenerateRequest, text: str) -> Any:
    """Return an answer as its task reads it: the document's value where JSON was asked for, else the text."""
    if request.guidance is None or not request.guidance.is_json:
        return text
    return validate(request.guidance.source or "{}", text)


def _read(evidence: Evidence) -> tuple[ReadText, ...]:
    """Return the words that were read in a photo. Blank ones say nothing."""
    return tuple(text for text in evidence.texts if text.text.strip())


def info_of(image: DecodedImage) -> ImageInfo:
    """Return what a record says of a photo itself."""
    return ImageInfo(image.width, image.height, image.orientation, image.format, image.frames)
