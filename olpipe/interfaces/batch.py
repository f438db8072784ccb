"""What a batch is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from olpipe.generation import Completion, GenerateRequest, SamplingParams
from olpipe.image import DecodedImage, ImageFile
from olpipe.record import Outcome


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
