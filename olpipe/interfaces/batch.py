"""What a batch is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from olpipe.generation import GenerateRequest, SamplingParams
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
    """How recipes call it."""

    version: str
    """Part of every recipe's key: changes when the same answer would give another record."""

    sentences: tuple[str, ...] = ()
    """Properties that it leaves empty where the model does not write the recipe's language."""

    @abstractmethod
    def build(self, image: DecodedImage, context: TaskContext) -> GenerateRequest:
        """Return the request for one photo, with the photo in its last message.

        The same photo and context give the same request. Model, sampling, perceivers and language are the context's;
        its prompt and its examples stand in the messages. Guidance may be a JSON Schema, any JSON, a regular
        expression, a Lark grammar, or nothing.

        Raises:
            SchemaError: The recipe's schema is not one that this task can fill in.
        """

    @abstractmethod
    def parse(self, value: Any, image: DecodedImage) -> Mapping[str, Any]:
        """Return the values that stand in the record: plain JSON, with keys that are not the record's own.

        `olpipe.record.RESERVED` has the record's own keys.

        Args:
            value: The answer. Where the request asked for JSON, it is the document's value, which the schema accepts.
                Else it is the answer's text. It is left as it is.
            image: The photo.

        Raises:
            InvalidOutput: The answer cannot be used.
        """


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The run that a sink writes for.

    Attributes:
        root: The folder that photos are named after: `file` in a record is relative to it.
        output: The output folder. A target that is a relative path lies below it.
        schema: JSON Schema of the answers.
        recipe: The recipe's name.
        recipe_key: Digest of everything that a record depends on besides the photo.
        model: The model's name.
        model_digest: `sha256:…` of the model's manifest.
    """

    root: Path
    output: Path
    schema: Mapping[str, Any]
    recipe: str
    recipe_key: str
    model: str
    model_digest: str


class Sink(ABC):
    """Somewhere that records go. It is called from one thread: `recover` first, then rows in order.

    The ledger remembers the position that the last `flush` returned, and gives it back to `recover` in the next run.
    Methods let the `OSError` of a full or unwritable disk through: the pipeline puts it into words.
    """

    @abstractmethod
    def write(self, row: Mapping[str, Any]) -> None:
        """Take one record's JSON; it need not be durable before `flush`.

        The row is left as it is: other sinks get the same one.
        """

    @abstractmethod
    def flush(self) -> int:
        """Make everything written durable and return the position after it.

        The position is a number of the sink's own. It is above 0 once a row was written, and grows with every row.
        Where nothing was written, it stays.
        """

    @abstractmethod
    def recover(self, position: int) -> bool:
        """Drop whatever lies after a position that `flush` once returned; 0 starts over.

        What lies there was never committed, like a row that was torn by a power cut. The ledger has all rows and writes
        them again. Starting over destroys nothing at once: what was there stays until the first `flush`.

        Returns:
            False when the sink no longer reaches that position; it is then asked to start over.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go; rows after the last `flush` may be lost, they will be written again."""


class SinkFactory(ABC):
    """Opens sinks of one kind."""

    scheme: str
    """What stands before the colon in `--sink SCHEME:TARGET`: lower case, without the colon."""

    usual_target: str
    """Where records go when no target is given, like `records.csv`."""

    def accepts(self, schema: Mapping[str, Any]) -> str | None:
        """Return why records of this schema cannot go here, or None when they can. It raises for no schema."""
        return None

    @abstractmethod
    def open(self, target: str, run: RunInfo) -> Sink:
        """Open or continue the sink at a target.

        Args:
            target: What follows the colon, else `usual_target`. A relative path lies below `run.output`.
            run: The run that is about to write.

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
    """How `--executor` and recipes call it."""

    @abstractmethod
    def map(self, job: Job, images: Iterable[ImageFile]) -> Iterator[Outcome]:
        """Yield one outcome for every image, none lost and none twice; reads ahead only as far as it needs.

        `images` belongs to the caller's thread: it is advanced there only. The job is not opened
        before there is an image.

        Raises:
            MachineError: The machine failed; outcomes not yet yielded are undone work, not failures.
        """
