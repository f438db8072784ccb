"""What is done with one photo: decode it, make the request, ground it, generate, judge, and make a record.

A recipe with stages asks several questions about one photo. The photo is decoded and looked at once, whatever their
number, and stands first in each request, so that the model reads it once, too.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from olpipe.asking.interpreting import interpreter
from olpipe.describing.recipe import Recipe
from olpipe.describing.scores import with_scores
from olpipe.describing.stage import Answer, joined_value, told_answers
from olpipe.describing.templates import UNKNOWN, check_evidence, fields_in, filled, is_template, known_of
from olpipe.engine.manager import Engine
from olpipe.engine.stream import Delivery, Stream
from olpipe.errors import BackendCrashed
from olpipe.generation import Completion, FinishReason, GenerateRequest, Timings, Usage
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
class Question:
    """What is asked of every photo.

    Attributes:
        stage: The stage that asks; empty where the recipe has none.
        context: What the task gets.
    """

    stage: str
    context: TaskContext


@dataclass(frozen=True, slots=True)
class Seen:
    """A photo that was decoded, and nothing else yet.

    Attributes:
        image: The photo.
        decoded: Its pixels.
        told: The prompt as it is for this photo; empty where it is the same for all.
        known: What is known of the photo, by the places of the prompt.
        image_ns: Time to decode the photo.
    """

    image: ImageFile
    decoded: DecodedImage
    told: str
    known: Mapping[str, str]
    image_ns: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """A photo about which the model can be asked.

    Attributes:
        seen: The photo.
        question: What is asked of every photo.
        request: What is asked of this one. Boxes are in pixels of the photo.
        grounded: The same with what perceivers found, before it is put into the model's own words.
        ground_ns: Time to make the request, and for the perceivers.
    """

    seen: Seen
    question: Question
    request: GenerateRequest
    grounded: Grounded
    ground_ns: int


class Describer:
    """A loaded model, ready to describe photos as a recipe says. Any thread may call it.

    `see` decodes a photo. Then `ground`, `ask` and `answer` are called for each of the `questions`, in their order, and
    `record` puts the answers together. `olpipe.describing.failures` says which of their errors mean that a photo has no
    record.

    Attributes:
        slots: How many photos the model can work on at once.
        questions: What is asked of every photo, in order: one question, or one for each stage of the recipe.
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
        writes = self._bundle.config.writes(recipe.language)
        self.questions = tuple(
            Question(stage, asked.context(with_sentences=writes, photo_first=bool(recipe.stages)))
            for stage, asked in zip([stage.name for stage in recipe.stages] or [""], recipe.questions, strict=True)
        )
        self._prompt = "\n\n".join(question.context.prompt for question in self.questions)
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
        known = known_of(self._prompt, image, self._day)
        told = filled(self._prompt, known) if is_template(self._prompt) else ""
        return Seen(image, decoded, told, known, decoded_ns - started_ns)

    def ground(
        self, seen: Seen, question: Question, answers: Sequence[Answer] = (), before: Prepared | None = None
    ) -> Prepared:
        """Have the task make the request for a photo, and add the evidence.

        Args:
            seen: The photo.
            question: What is asked.
            answers: What the model answered to earlier questions about the photo.
            before: What an earlier question was prepared as. Perceivers do not look at the photo again then.

        Raises:
            UsageError: The model does not see, and there is no perceiver; or the perceivers have no words in the
                recipe's language.
            PluginError: A perceiver or the task failed.
        """
        started_ns = time.monotonic_ns()
        context = question.context
        if is_template(context.prompt):
            unanswered = dict.fromkeys(fields_in(context.prompt), UNKNOWN)
            values = {**unanswered, **seen.known, **told_answers(answers)}
            context = replace(context, prompt=filled(context.prompt, values))
        grounded = self._grounded(seen.decoded, context, None if before is None else before.grounded.found)
        request = self._interpreter.asked(grounded.request)
        if self._terms.context_length:
            request = replace(request, context_length=self._terms.context_length)
        return Prepared(seen, question, request, grounded, time.monotonic_ns() - started_ns)

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

    def answer(self, prepared: Prepared, completion: Completion) -> Answer:
        """Judge the model's answer.

        Raises:
            InvalidOutput: The answer does not fit the schema.
            BackendCrashed: There is no answer, because the model was closed.
        """
        if completion.finish_reason is FinishReason.CANCELLED:
            raise BackendCrashed("the model was closed while it was at work", hint="run the same command again")
        value = _value(prepared.request, self._interpreter.heard(prepared.request, completion))
        usage, timings, truncated = completion.usage, completion.timings, completion.truncated
        return Answer(prepared.question.stage, value, usage, timings, truncated, prepared.ground_ns)

    def record(self, prepared: Prepared, answers: Sequence[Answer]) -> Record:
        """Have the task read the answers, and make the record.

        Args:
            prepared: The photo, as it was prepared for any of the questions.
            answers: One for each question, in order.

        Raises:
            InvalidOutput: The task cannot use the answers.
            PluginError: The task failed.
        """
        seen, evidence = prepared.seen, prepared.grounded.evidence
        return Record(
            file=seen.image.ref.name,
            sha256=seen.image.sha256,
            image=info_of(seen.decoded),
            values=self._values(answers, seen.decoded, prepared.grounded.written),
            model=str(self._bundle.name),
            model_digest=self._bundle.digest,
            recipe=self._recipe.name,
            usage=sum((answer.usage for answer in answers), Usage()),
            truncated=any(answer.truncated for answer in answers),
            certainty=None if evidence is None else certainty_of(evidence),
            texts=() if evidence is None else _read(evidence),
            timings=sum((answer.timings for answer in answers), Timings()),
            image_ns=seen.image_ns,
            ground_ns=sum(answer.ground_ns for answer in answers),
        )

    def _grounded(self, image: DecodedImage, context: TaskContext, found: Evidence | None) -> Grounded:
        """Have the task make the request, and add the evidence.

        A model that does not see has nothing to say of a photo in which nothing was recognised. So the request is made
        once more then, without sentences.
        """
        grounded = self._ground(image, context, found)
        if self._sees or not (context.with_sentences and self._task.sentences) or grounded.evidence is None:
            return grounded
        if certainty_of(grounded.evidence) is not Certainty.UNRECOGNISED:
            return grounded
        return self._ground(image, replace(context, with_sentences=False), grounded.found)

    def _ground(self, image: DecodedImage, context: TaskContext, found: Evidence | None) -> Grounded:
        return self._grounder.ground(self._request(image, context), model_pixels=self._model_pixels, found=found)

    def _request(self, image: DecodedImage, context: TaskContext) -> GenerateRequest:
        with self._tasks.blaming(self._task.name):
            request = self._task.build(image, context)
            if not isinstance(request, GenerateRequest):
                raise TypeError(f"it built a {type(request).__name__} where a request is expected")
        return request

    def _values(self, answers: Sequence[Answer], image: DecodedImage, evidence: Evidence | None) -> Mapping[str, Any]:
        """Have the task read the answers. Values that a record cannot hold are an error of the task."""
        own = RESERVED | {TAG_SCORES} if self._task.scored else RESERVED
        with self._tasks.blaming(self._task.name):
            stages = self._recipe.stages
            value = joined_value(stages, answers) if stages else answers[0].value
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
