"""What a plugin can provide; with `hookspecs`, all that a plugin's author has to read.

Every class here is found by its `name` (or `scheme`), which must be unique among its kind. Import
heavy libraries inside methods: plugins are loaded before it is known what the command will need.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from olpipe.errors import OlpipeError
from olpipe.generation import Chunk, Completion, GenerateRequest, SamplingParams
from olpipe.image import DecodedImage, ImageFile
from olpipe.model import Layer, LoadOptions, ModelBundle, ModelConfig, ModelName, RunnerInfo
from olpipe.record import Evidence, Outcome

# --- progress ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a long step is.

    Attributes:
        status: What is being done, in a few words: `downloading`, `converting`, `success`, …
        completed: Units done.
        total: Units in all; None when not known.
        unit: `B` for bytes, else a plural noun: `tensors`.
    """

    status: str
    completed: int = 0
    total: int | None = None
    unit: str = "B"


ProgressCallback = Callable[[Progress], None]


# --- backends and runners ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request made ready for one runner; runners extend it with what they need."""

    prompt_tokens: int


class Runner(ABC):
    """A loaded model. It lives in a process of its own and is called from one thread."""

    info: RunnerInfo

    @abstractmethod
    def prepare(self, request: GenerateRequest) -> Prepared:
        """Turn a request into token ids and tensors.

        Raises:
            ContextExceeded: The prompt does not fit.
            UsageError: The request asks for something this runner does not do.
        """

    @abstractmethod
    def start(self, sequence_id: int, prepared: Prepared) -> None:
        """Register a sequence; the first `step` prefills it. At most `info.slots` are registered at once."""

    @abstractmethod
    def step(self) -> Sequence[tuple[int, Chunk | OlpipeError]]:
        """Advance every registered sequence a little and return what became showable.

        A chunk with a finish reason is its sequence's last: the sequence is gone afterwards. So is one whose
        trouble is its own and stands in a chunk's place; what is raised ends them all.
        """

    @abstractmethod
    def stop(self, sequence_id: int) -> None:
        """Forget a sequence, finished or not; an unknown one is ignored."""

    def close(self) -> None:
        """Free the model."""


class SingleSequenceRunner(Runner):
    """The easy door: write `prepare` and `generate`, one sequence at a time."""

    def __init__(self) -> None:
        self._running: tuple[int, Iterator[Chunk]] | None = None

    @abstractmethod
    def generate(self, prepared: Prepared) -> Iterator[Chunk]:
        """Yield the answer piece by piece; the last chunk carries finish reason and usage."""

    def start(self, sequence_id: int, prepared: Prepared) -> None:
        """Register the only sequence."""
        if self._running is not None:
            raise ValueError("this runner has one slot, and it is taken")
        self._running = (sequence_id, self.generate(prepared))

    def step(self) -> Sequence[tuple[int, Chunk]]:
        """Pull one chunk."""
        if self._running is None:
            return ()
        sequence_id, chunks = self._running
        try:
            chunk = next(chunks)
        except BaseException:
            self._running = None
            raise
        if chunk.finish_reason is not None:
            self.stop(sequence_id)
        return ((sequence_id, chunk),)

    def stop(self, sequence_id: int) -> None:
        """Close the generator."""
        if self._running is not None and self._running[0] == sequence_id:
            chunks = self._running[1]
            self._running = None
            close = getattr(chunks, "close", None)
            if close is not None:
                close()


class Backend(ABC):
    """A library that runs models."""

    name: str

    @abstractmethod
    def can_load(self, bundle: ModelBundle) -> bool:
        """Say whether this backend runs such a package; looks at files only, imports no runtime."""

    def build(self, bundle: ModelBundle, progress: ProgressCallback) -> None:
        """Make in `bundle.cache` what `load` will need; returns at once when it is there.

        What is half made by an interrupted call must never look finished.
        """

    @abstractmethod
    def load(self, bundle: ModelBundle, options: LoadOptions) -> Runner:
        """Load a built model, in the process that calls.

        Raises:
            BackendMissing: The runtime is not installed.
            ModelCorrupt: The files are damaged.
        """


# --- where models come from -------------------------------------------------------------------


class ModelStore(Protocol):
    """The model store as a source sees it: put blobs in, then name them with a manifest."""

    def has(self, digest: str) -> bool:
        """Say whether a blob is already stored."""

    def partial(self, key: str) -> Path:
        """Return a folder that survives an interrupted pull, the same for the same key."""

    def add_file(self, path: Path, *, digest: str | None = None, progress: ProgressCallback | None = None) -> Layer:
        """Copy a file in and return a layer for it (set its media type and name with `dataclasses.replace`).

        Raises:
            DigestMismatch: `digest` (`sha256:…`) was given and the bytes are others.
        """

    def add_bytes(self, data: bytes) -> Layer:
        """Put bytes in and return a layer for them."""

    def commit(self, name: ModelName, config: ModelConfig, layers: Sequence[Layer]) -> None:
        """Write the manifest, atomically; from here on the model exists."""


class ModelSource(ABC):
    """A place that models come from, asked by the scheme before the colon (`pip:…`) or by announced names."""

    scheme: str

    def names(self) -> Iterable[str]:
        """Announce plain names this source can pull, like `photo-mini`."""
        return ()

    @abstractmethod
    def default_name(self, reference: str) -> ModelName:
        """Return the name a model from here gets when the user gives none.

        Args:
            reference: What follows the scheme, or an announced name.
        """

    @abstractmethod
    def pull(self, reference: str, name: ModelName, store: ModelStore, progress: ProgressCallback) -> None:
        """Bring the model into the store under `name`: blobs first, the manifest last.

        Raises:
            PullFailed: It could not be had; what was fetched so far is kept where that helps.
            DigestMismatch: What came is not what was pinned.
        """


# --- photos -----------------------------------------------------------------------------------


class ImageLoader(ABC):
    """Reads one or more image formats."""

    name: str
    suffixes: tuple[str, ...] = ()
    """Lower-case file suffixes with their dot that discovery should consider."""

    @abstractmethod
    def recognises(self, header: bytes, suffix: str) -> bool:
        """Say whether this loader is the one for a file, from its first 64 bytes and its suffix."""

    @abstractmethod
    def decode(self, data: bytes, *, refuse_pixels: int, fit_pixels: int) -> DecodedImage:
        """Decode to upright sRGB.

        Args:
            data: The whole file.
            refuse_pixels: More pixels than this are refused before they are decoded.
            fit_pixels: Larger images are scaled down to about this many pixels, keeping the aspect.

        Raises:
            ImageUnreadable: Damaged or truncated.
            ImageTooLarge: More than `refuse_pixels`.
            ImageUnsupported: The format needs something that is not installed; the hint says what.
        """


class Perceiver(ABC):
    """Sees things in a photo without a language model. Called from several threads at once."""

    name: str
    version: str
    """Changes whenever the same photo may give other evidence: it is part of every recipe's key."""

    @abstractmethod
    def perceive(self, image: DecodedImage) -> Evidence:
        """Return what is in the photo, in English; boxes in pixels of the upright original."""

    def translations(self) -> Mapping[str, Mapping[str, str]]:
        """Return its names in other languages: by BCP 47 tag, the words by their English names.

        A name that is missing stays English. The words are part of the key of recipes in their language,
        so `version` need not change with them.
        """
        return {}


# --- batch ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TaskContext:
    """What a recipe decided, as a task needs it.

    Attributes:
        model: The model's name.
        prompt: What to ask of every photo.
        schema: JSON Schema of the answer; its key order is the generation order.
        sampling: How tokens are picked.
        examples: (question, answer) pairs shown before the photo.
        perceivers: Whose evidence joins; None means those the model's manifest names.
        language: The language of the record, as a BCP 47 tag.
        model_writes: Whether the model writes that language.
    """

    model: str
    prompt: str
    schema: Mapping[str, Any]
    sampling: SamplingParams = field(default_factory=SamplingParams)
    examples: tuple[tuple[str, str], ...] = ()
    perceivers: tuple[str, ...] | None = None
    language: str = "en"
    model_writes: bool = True


class Task(ABC):
    """What is asked of every photo, and what its record makes of the answer."""

    name: str
    version: str
    """Part of every recipe's key: changes when the same answer would give another record."""

    sentences: tuple[str, ...] = ()
    """Properties that it leaves empty where the model does not write the recipe's language."""

    @abstractmethod
    def build(self, image: DecodedImage, context: TaskContext) -> GenerateRequest:
        """Return the request for one photo."""

    @abstractmethod
    def parse(self, completion: Completion, image: DecodedImage) -> Mapping[str, Any]:
        """Return the values that stand in the record.

        Raises:
            InvalidOutput: The answer cannot be used.
        """


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The run that a sink writes for."""

    recipe: str
    recipe_key: str


class Sink(ABC):
    """Somewhere records go. Called from one thread: `recover` first, then rows in order.

    Methods let the `OSError` of a full or unwritable disk through: the pipeline puts it into words.
    """

    @abstractmethod
    def write(self, row: Mapping[str, Any]) -> None:
        """Take one record's JSON; it need not be durable before `flush`."""

    @abstractmethod
    def flush(self) -> int:
        """Make everything written durable and return the position after it."""

    @abstractmethod
    def recover(self, position: int) -> bool:
        """Drop whatever lies after a position that `flush` once returned; 0 starts over.

        Returns:
            False when the sink no longer reaches that position; it is then asked to start over.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go; rows after the last `flush` may be lost, they will be written again."""


class SinkFactory(ABC):
    """Opens sinks of one kind."""

    scheme: str

    def accepts(self, schema: Mapping[str, Any]) -> str | None:
        """Return why records of this schema cannot go here, or None when they can."""
        return None

    @abstractmethod
    def open(self, target: str, run: RunInfo) -> Sink:
        """Open or continue the sink at a target.

        Raises:
            OutputUnavailable: The target cannot be written.
        """


class Session(ABC):
    """An open job: models loaded, ready for photos. `work` is called from several threads."""

    slots: int
    """Photos worth having in flight at once, not counting those being decoded ahead."""

    @abstractmethod
    def work(self, image: ImageFile) -> Outcome:
        """Describe one photo; its own trouble is a `Failure`, the machine's a `MachineError`."""


class Job(ABC):
    """What to do with every photo. Picklable, so that an executor can carry it elsewhere."""

    @abstractmethod
    def open(self) -> AbstractContextManager[Session]:
        """Load what the work needs."""


class Executor(ABC):
    """Carries a job over many photos."""

    name: str

    @abstractmethod
    def map(self, job: Job, images: Iterable[ImageFile]) -> Iterator[Outcome]:
        """Yield one outcome for every image, none lost and none twice; reads ahead only as far as it needs.

        `images` belongs to the caller's thread: it is advanced there only. The job is not opened
        before there is an image.

        Raises:
            MachineError: The machine failed; outcomes not yet yielded are undone work, not failures.
        """


PluginKind = Literal["backends", "model_sources", "image_loaders", "perceivers", "tasks", "sinks", "executors"]
