"""What is done with one photo: decode it, make the request, ground it, generate, judge, and make a record."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from olpipe.asking.interpreting import interpreter
from olpipe.engine.manager import Engine
from olpipe.errors import (
    BackendCrashed,
    ContextExceeded,
    GenerationError,
    ImageError,
    ImageTooLarge,
    ImageUnsupported,
    InvalidOutput,
    OlpipeError,
    PluginError,
    first_line,
)
from olpipe.generation import Completion, FinishReason, GenerateRequest
from olpipe.guidance.validate import validate
from olpipe.image import USUAL_PIXELS, DecodedImage, ImageFile
from olpipe.imaging.decode import decode
from olpipe.interfaces import Job, Session, TaskContext
from olpipe.model import LoadOptions
from olpipe.perception.certainty import certainty_of
from olpipe.perception.evidence_cache import EvidenceCache
from olpipe.perception.ground import Grounded, Grounder
from olpipe.pipeline.recipe import Recipe
from olpipe.pipeline.scores import with_scores
from olpipe.plugins import Plugins
from olpipe.record import RESERVED, TAG_SCORES, Certainty, Evidence, Failure, FailureKind, ImageInfo, Outcome, Record
from olpipe.settings import Settings
from olpipe.store.findings import Finding
from olpipe.store.library import Library

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

logger = logging.getLogger(__name__)

FOR_EVER = -1.0
"""The model stays loaded until the run closes its engine."""

# Special classes stand before general ones: the first that fits gives the kind of the failure
KINDS: tuple[tuple[type[OlpipeError], FailureKind], ...] = (
    (ImageTooLarge, FailureKind.TOO_LARGE),
    (ImageUnsupported, FailureKind.UNSUPPORTED),
    (ImageError, FailureKind.UNREADABLE),
    (ContextExceeded, FailureKind.CONTEXT),
    (InvalidOutput, FailureKind.REFUSED),
    (GenerationError, FailureKind.GENERATION),
    (PluginError, FailureKind.PLUGIN),
)


class DescribeJob(Job):
    """Describes photos as a recipe says.

    A pickled job holds only the recipe, the settings and the finding. Where it is opened, it loads plugins and models
    itself.
    """

    def __init__(
        self,
        recipe: Recipe,
        settings: Settings,
        finding: Finding | None = None,
        *,
        plugins: Plugins | None = None,
        engine: Engine | None = None,
    ) -> None:
        """Make a job.

        Args:
            recipe: What is asked.
            settings: How models are loaded.
            finding: What `olpipe doctor` found out about the model.
            plugins: Used instead of loading its own; None loads them.
            engine: The same for the engine.
        """
        self._recipe = recipe
        self._settings = settings
        self._finding = finding
        self._plugins = plugins
        self._engine = engine

    def __reduce__(self) -> tuple[Any, ...]:
        return DescribeJob, (self._recipe, self._settings, self._finding)

    def open(self) -> AbstractContextManager[Session]:
        """Load the model."""
        return self._open()

    @contextmanager
    def _open(self) -> Iterator[Session]:
        plugins = self._plugins or Plugins.load(self._settings)
        with ExitStack() as stack:
            engine = self._engine
            if engine is None:
                library = Library(self._settings.models_folder, cache=self._settings.home / "cache")
                engine = stack.enter_context(Engine(library, plugins, self._settings))
            evidence = EvidenceCache(self._settings.home / "cache" / "evidence.sqlite")
            stack.callback(evidence.close)
            yield DescribeSession(self._recipe, plugins, engine, evidence, finding=self._finding)


class DescribeSession(Session):
    """A loaded model, ready to describe photos. Several threads may call `work`."""

    def __init__(
        self,
        recipe: Recipe,
        plugins: Plugins,
        engine: Engine,
        evidence: EvidenceCache,
        *,
        finding: Finding | None = None,
    ) -> None:
        """Load the recipe's model."""
        self._recipe = recipe
        self._tasks = plugins.tasks
        self._task = plugins.tasks.get(recipe.task)
        self._loaders = plugins.image_loaders
        self._engine = engine
        self._options = LoadOptions(backend=recipe.backend, image_tokens=recipe.image_tokens, device=recipe.device)
        self._bundle = engine.bundle(recipe.model)
        self._sees = "vision" in self._bundle.config.capabilities
        self._context = recipe.context(with_sentences=self._bundle.config.writes(recipe.language))
        self._grounder = Grounder(
            self._bundle, plugins.perceivers, names=recipe.perceivers, cache=evidence, min_score=recipe.min_score
        )
        self._alone = threading.Lock()
        self._client = f"recipe {recipe.name}"
        info = engine.load(recipe.model, keep_alive_s=FOR_EVER, options=self._options).result()
        self._interpreter = interpreter(info, finding)
        self._model_pixels = info.fit_pixels or USUAL_PIXELS
        self._sizes = self._grounder.sizes(self._model_pixels)
        self.slots = info.slots

    def work(self, image: ImageFile) -> Outcome:
        """Describe one photo. Return a `Failure` where the photo or a plugin is at fault; raise everything else."""
        try:
            return self._describe(image)
        except (ImageError, GenerationError, PluginError) as error:
            logger.debug("`%s` failed", image.ref.name, exc_info=True)
            kind = next(kind for expected, kind in KINDS if isinstance(error, expected))
            return Failure(image.ref.name, image.sha256, kind, error.message, error.hint)
        except OlpipeError:
            raise
        except OSError as error:  # the file could be read before, but cannot be read any more
            message = f"the file cannot be read: {error.strerror or error}"
            return Failure(image.ref.name, None, FailureKind.UNREADABLE, message)
        except Exception as error:
            logger.debug("`%s` failed", image.ref.name, exc_info=True)
            message = f"{type(error).__name__}: {first_line(error)}"
            hint = "run again with OLPIPE_DEBUG=1 to see where"
            return Failure(image.ref.name, image.sha256, FailureKind.GENERATION, message, hint)

    def _describe(self, image: ImageFile) -> Record:
        # 1. Decode the photo
        started_ns = time.monotonic_ns()
        decoded = decode(image.read(), image.ref.path.suffix, self._loaders, sizes=self._sizes)
        decoded_ns = time.monotonic_ns()
        # 2. Have the task make the request, and add the evidence
        grounded = self._grounded(decoded)
        request, evidence = self._interpreter.asked(grounded.request), grounded.evidence
        grounded_ns = time.monotonic_ns()
        # 3. Have the model answer, judge the answer, and have the task read it
        completion = self._complete(self._interpreter.spoken(request), image.ref.name)
        text = self._interpreter.heard(request, completion)
        values = self._values(_value(request, text), decoded, evidence)
        return Record(
            file=image.ref.name,
            sha256=image.sha256,
            image=_info(decoded),
            values=values,
            model=str(self._bundle.name),
            model_digest=self._bundle.digest,
            recipe=self._recipe.name,
            usage=completion.usage,
            truncated=completion.truncated,
            certainty=None if evidence is None else certainty_of(evidence),
            timings=completion.timings,
            image_ns=decoded_ns - started_ns,
            ground_ns=grounded_ns - decoded_ns,
        )

    def _grounded(self, image: DecodedImage) -> Grounded:
        """Have the task make the request, and add the evidence.

        A model that does not see has nothing to say of a photo in which nothing was recognised. So the request is made
        once more then, without sentences.
        """
        grounded = self._ground(image, self._context)
        if self._sees or not (self._context.with_sentences and self._task.sentences) or grounded.evidence is None:
            return grounded
        if certainty_of(grounded.evidence) is not Certainty.UNRECOGNISED:
            return grounded
        return self._ground(image, replace(self._context, with_sentences=False))

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
            if self._task.scored:
                values = with_scores(values, evidence)
            orjson.dumps(values)  # fails here if they are not JSON; in the ledger, that would end the run
        return values

    def _ask(self, request: GenerateRequest) -> Completion:
        return self._engine.submit(
            request, client=self._client, keep_alive_s=FOR_EVER, options=self._options
        ).completion()

    def _complete(self, request: GenerateRequest, name: str) -> Completion:
        """Have the model answer. After a crash of its process, try once more, one photo at a time.

        So a photo gets its record if only its neighbour caused the crash. A photo that causes a second crash is named.
        """
        try:
            completion = self._ask(request)
        except BackendCrashed:
            with self._alone:
                try:
                    completion = self._ask(request)
                except BackendCrashed as error:
                    hint = f"it happened at `{name}`, twice; {error.hint or 'run the same command again to go on'}"
                    raise BackendCrashed(error.message, hint=hint) from error
        if completion.finish_reason is FinishReason.CANCELLED:
            raise BackendCrashed("the model was closed while it was at work", hint="run the same command again")
        return completion


def _value(request: GenerateRequest, text: str) -> Any:
    """Return an answer as its task reads it: the document's value where JSON was asked for, else the text."""
    if request.guidance is None or not request.guidance.is_json:
        return text
    return validate(request.guidance.source or "{}", text)


def _info(image: DecodedImage) -> ImageInfo:
    return ImageInfo(image.width, image.height, image.orientation, image.format)
