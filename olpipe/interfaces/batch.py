"""What a batch is made of."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from olpipe.archives.opened import archive_of, read_photo
from olpipe.generation import GenerateRequest, SamplingParams
from olpipe.image import DecodedImage, ImageFile
from olpipe.record import Outcome


@dataclass(frozen=True, slots=True)
class TaskContext:
    """What a recipe says, as a task needs it.

    Attributes:
        model: The model's name.
        prompt: What to ask of every photo.
        schema: JSON Schema of the answer; its key order is the generation order.
        sampling: How tokens are picked.
        examples: (question, answer) pairs shown before the photo.
        perceivers: Names of the perceivers whose evidence joins the request; None means those that the model's
            manifest names.
        language: The language of the record, as a BCP 47 tag.
        with_sentences: Whether sentences are asked for. They are not where the model does not write that language, and
            where nothing was recognised in a photo that the model does not see.
        photo_first: Whether the photo stands before the prompt. It does where several questions are asked about it:
            what questions have in common comes first, so that the model reads it once.
    """

    model: str
    prompt: str
    schema: Mapping[str, Any]
    sampling: SamplingParams = field(default_factory=SamplingParams)
    examples: tuple[tuple[str, str], ...] = ()
    perceivers: tuple[str, ...] | None = None
    language: str = "en"
    with_sentences: bool = True
    photo_first: bool = False


class Task(ABC):
    """Asks the model about a photo, and turns its answer into the values of a record."""

    name: str
    """How recipes call it."""

    version: str
    """Part of every recipe's key. Change it when the same answer would give another record."""

    sentences: tuple[str, ...] = ()
    """Properties that the task does not ask for where its context is not `with_sentences`."""

    scored: bool = False
    """Whether the perceivers' scores are put into its values. They need `tags` and `objects` as records have them.

    `tags` is a list of texts, and `objects` a list of objects with `x`, `y`, `w`, `h` and `type`. Either may be
    missing. The scores stand in each object as `score`, and behind `tags` as `tag_scores`. So the task gives no value
    `tag_scores`.
    """

    @abstractmethod
    def build(self, image: DecodedImage, context: TaskContext) -> GenerateRequest:
        """Return the request for one photo, with the photo in its last message.

        The same photo and context give the same request. Model, sampling, perceivers and language are those of the
        context, and the messages hold its prompt and its examples. Guidance may be a JSON Schema, any JSON, a regular
        expression, a Lark grammar, or nothing.

        Raises:
            SchemaError: The recipe's schema is not one that this task can fill in.
        """

    @abstractmethod
    def parse(self, value: Any, image: DecodedImage) -> Mapping[str, Any]:
        """Return the values for the record: plain JSON, under keys that are not the record's own.

        `olpipe.record.RESERVED` lists the record's own keys.

        Args:
            value: The answer. Where the request asked for JSON, it is the document's value, which the schema accepts.
                Else it is the answer's text. Do not change it.
            image: The photo.

        Raises:
            InvalidOutput: The answer cannot be used.
        """


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The run that a sink writes for.

    Attributes:
        root: The folder that holds the photos: `file` in a record is a path relative to it.
        output: The output folder. A target that is a relative path lies below it.
        schema: JSON Schema of the answers.
        recipe: The recipe's name.
        recipe_key: Digest of everything that a record depends on besides the photo.
        model: The model's name.
        model_digest: `sha256:…` of the model's manifest.
        language: The language of tags and texts, as a BCP 47 tag; empty where it is not known.
    """

    root: Path
    output: Path
    schema: Mapping[str, Any]
    recipe: str
    recipe_key: str
    model: str
    model_digest: str
    language: str = ""

    def photo(self, file: str) -> Path | None:
        """Return where the photo of a record lies, for its `file`; None for a name that leads out of `root`.

        The path of a photo in an archive leads into the archive, and is not there on the disk: see `archive` and
        `read_photo`.
        """
        if file.startswith("./"):  # the name is not UTF-8: such bytes appear as `\\xNN`, and backslashes are doubled
            encoded = re.sub(rb"\\(\\|x[0-9a-f]{2})", _unescaped, file[2:].encode("utf-8", "surrogateescape"))
            file = os.fsdecode(encoded)
        path = PurePath(file)
        return None if path.is_absolute() or ".." in path.parts else self.root / path

    def archive(self, file: str) -> Path | None:
        """Return the archive in which the photo of a record lies, for its `file`; None where it is a file itself."""
        path = self.photo(file)
        return None if path is None else archive_of(path)

    def read_photo(self, file: str) -> bytes:
        """Return the bytes of the photo of a record, for its `file`, whether it is a file or lies in an archive.

        Raises:
            ImageError: It lies in an archive that was damaged since.
            OSError: It is not there, or cannot be read.
        """
        path = self.photo(file)
        if path is None:
            raise FileNotFoundError(f"`{file}` leads out of the folder of the photos")
        return read_photo(path)


def _unescaped(match: re.Match[bytes]) -> bytes:
    return match[1] if match[1] == b"\\" else bytes.fromhex(match[1][1:].decode("ascii"))


class Sink(ABC):
    """A writer of records. One thread calls it: first `recover`, then `write` for each row, in order.

    The ledger remembers the position that the last `flush` returned, and the next run hands it to `recover`.

    Let the `OSError` of a full or read-only disk through: the pipeline turns it into a message. Where a library has
    errors of its own, such as `sqlite3.Error`, raise `DiskFull` or `OutputUnavailable` instead. Any other error counts
    as a fault of the plugin, and so does a return value that is not as described here. It ends the run with one line
    that names the sink. The ledger keeps all rows.
    """

    takes_rejected: bool = True
    """Whether it takes records that a person has rejected: their `review` is `rejected`. Where it does not, as for data
    to train with, the pipeline leaves them out, and starts the target over when a record is rejected that it holds."""

    @abstractmethod
    def write(self, row: Mapping[str, Any]) -> None:
        """Take one record's JSON. It need not be durable before `flush`.

        Do not change the row: other sinks get the same one.
        """

    @abstractmethod
    def flush(self) -> int:
        """Make everything written durable and return the position after it.

        The sink decides what the number means. It is above 0 once a row was written, and grows with every row. It stays
        the same where nothing was written. It is an `int` below 2**63.
        """

    @abstractmethod
    def recover(self, position: int) -> bool:
        """Drop everything after a position that `flush` once returned. The position 0 means to start over.

        What comes after the position was never committed, for example half a row that a power cut left. The ledger has
        all rows and writes them again. Nothing is destroyed at once: what is there stays until the first `flush`.

        Somebody may have changed the target. Do not cut rows or glue them together then: return False. Before
        `recover(0)`, the pipeline calls `recover` with the last position. Where that returned False, or was not called,
        the target holds something that the sink did not write: keep a copy. `olpipe.row_file.RowFile` does all this.
        Where a target is made of all rows at once, `olpipe.row_documents.RowDocuments` does.

        A file of the sink's own may have been cut or damaged. Starting over must work then, whatever is left of it.
        What begins otherwise than the sink's own files is somebody else's, and is not replaced.

        Returns:
            True, or False when the target is no longer as it was up to that position. The pipeline then calls `keep`,
            and where that returns False `recover(0)` of the same sink, which always returns True.

        Raises:
            OutputUnavailable: The target cannot be written, or at the position 0 it holds something of somebody else.
        """

    def keep(self, files: Collection[str]) -> bool:
        """Go on behind rows that somebody has changed by hand, where `recover` returned False.

        Args:
            files: The `file` of every row that the target should hold.

        Returns:
            True where the target holds exactly one row for each of these files, whatever else stands in the rows. False
            starts the target over; a sink without this method always does.
        """
        return False

    def changed_photos(self) -> Collection[str]:
        """Return the `file` of each photo that the last `flush` has changed itself, as one does that writes keywords.

        They are not described again for that. A sink that leaves photos as they are needs no such method.
        """
        return ()

    @abstractmethod
    def close(self) -> None:
        """Close the target. Rows after the last `flush` may be lost: they will be written again."""


class SinkFactory(ABC):
    """Opens sinks of one kind."""

    scheme: str
    """What stands before the colon in `--sink SCHEME:TARGET`: lower case, without the colon."""

    usual_target: str
    """Where records go when no target is given, like `records.csv`."""

    def accepts(self, schema: Mapping[str, Any]) -> str | None:
        """Return why records of this schema cannot be written, or None when they can. Never raise an error.

        Whatever the schema requires, a record lacks the task's `sentences` where none were asked for.
        """
        return None

    @abstractmethod
    def open(self, target: str, run: RunInfo) -> Sink:
        """Return a sink for a target, which may have been written to before.

        Args:
            target: What follows the colon, else `usual_target`. A relative path lies below `run.output`.
            run: The run that is about to write.

        Raises:
            OutputUnavailable: The target cannot be written.
        """


class Session(ABC):
    """An open job: its models are loaded. Several threads may call `work`."""

    slots: int
    """How many photos the model can work on at once. An executor may keep a few more ready."""

    @abstractmethod
    def work(self, image: ImageFile) -> Outcome:
        """Describe one photo. Return a `Failure` if that cannot be done; raise `MachineError` if the machine failed."""


class Job(ABC):
    """What to do with every photo. It can be pickled, so that an executor can send it to other processes."""

    @abstractmethod
    def open(self) -> AbstractContextManager[Session]:
        """Load what the work needs."""


class Executor(ABC):
    """Works through the photos of a run."""

    name: str
    """How `--executor` and recipes call it."""

    @abstractmethod
    def map(self, job: Job, images: Iterable[ImageFile]) -> Iterator[Outcome]:
        """Yield exactly one outcome for every image.

        Take images only in the thread that calls, and only a few ahead. Do not open the job before there is an image.

        Raises:
            MachineError: The machine failed. Photos without an outcome are not done yet; they did not fail.
        """
