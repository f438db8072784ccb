"""What runs models, and where models come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from olpipe.embedding import Embeddings, EmbedRequest
from olpipe.errors import OlpipeError, UsageError
from olpipe.generation import Chunk, GenerateRequest
from olpipe.interfaces.progress import ProgressCallback
from olpipe.model import Layer, LoadOptions, ModelBundle, ModelConfig, ModelName, RunnerInfo


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request made ready for one runner. Runners extend it with what they need.

    Attributes:
        prompt_tokens: Tokens of the prompt.
    """

    prompt_tokens: int


class Runner(ABC):
    """A loaded model. It lives in a process of its own.

    One thread calls `start`, `step`, `stop`, `embed` and `close`. Another one calls `prepare`, also while the first is
    inside `step`: a long prompt is prepared while others are answered.
    """

    info: RunnerInfo
    """What it can do."""

    @abstractmethod
    def prepare(self, request: GenerateRequest) -> Prepared:
        """Turn a request into token ids and tensors.

        The request is left as it is. What it asks for is done or refused, and never ignored: that holds for photos,
        guidance, tools, thinking, a raw prompt, a suffix and probabilities.

        Raises:
            ContextExceeded: The prompt does not fit.
            UsageError: The request asks for something that this runner does not do.
        """

    @abstractmethod
    def start(self, sequence_id: int, prepared: Prepared) -> None:
        """Register a sequence; the first `step` prefills it. At most `info.slots` are registered at once.

        No answer depends on who else is at work, or on what was answered before.

        Args:
            sequence_id: A number that no registered sequence has.
            prepared: What `prepare` returned. Requests are started in any order, or never.

        Raises:
            ValueError: All slots are taken.
        """

    @abstractmethod
    def step(self) -> Sequence[tuple[int, Chunk | OlpipeError]]:
        """Advance every registered sequence a little and return what became showable.

        A chunk with a finish reason is its sequence's last: the sequence is gone afterwards, and its slot is free. An
        error in a chunk's place ends that sequence, too. An error that is raised ends them all. A step may return
        nothing; without registered sequences it does.

        Returns:
            Pairs of a sequence's id and its chunk or error.
        """

    @abstractmethod
    def stop(self, sequence_id: int) -> None:
        """Forget a sequence, finished or not; an unknown one is ignored."""

    def embed(self, request: EmbedRequest) -> Embeddings:
        """Turn texts into vectors. Called only where `info.embeds` says so.

        A vector depends on its own text alone.

        Raises:
            ContextExceeded: A text is too long, and the request does not allow cutting it.
            UsageError: The request asks for more dimensions than there are.
        """
        raise UsageError(f"`{request.model}` makes no embeddings")

    def close(self) -> None:
        """Free the model."""


class SingleSequenceRunner(Runner):
    """The easy door: write `prepare` and `generate`, and answer one sequence at a time."""

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
    """How `--backend` and recipes call it."""

    version: str
    """Changes only when the same model may give other answers than before: it is part of every recipe's key."""

    @abstractmethod
    def refuses(self, bundle: ModelBundle) -> str | None:
        """Return why this backend cannot run a model, in a few words, or None when it can.

        It opens the model's configuration and answers for what it can really run: a file's name alone makes no model.
        It imports no runtime, reads no weights and makes no files. `bundle.cache` may be empty or missing. The reason
        is one line, as in: it has no genai_config.json.
        """

    def build(self, bundle: ModelBundle, progress: ProgressCallback) -> None:
        """Make in `bundle.cache` what `load` will need; returns at once when it is there.

        What is half made by an interrupted call must never look finished: make it beside its final place, then rename
        it. `progress` is told at least once before anything is finished. What it raises ends the call and comes out:
        that is how a build is cancelled. `bundle.path` is read only.

        Raises:
            ModelCorrupt: The files are damaged.
            ModelUnsupported: They are of a kind that is not built.
        """

    @abstractmethod
    def load(self, bundle: ModelBundle, options: LoadOptions) -> Runner:
        """Load a built model, in the process that calls.

        Args:
            bundle: The model. Its `system` opens every conversation that has no system message.
            options: Limits: the runner's `info` never has a longer context or more slots than they say.

        Raises:
            BackendMissing: The runtime is not installed.
            ModelCorrupt: The files are damaged.
        """


class ModelStore(Protocol):
    """The model store as a source sees it: put blobs in, then name them with a manifest."""

    def has(self, digest: str) -> bool:
        """Say whether a blob is already stored."""

    def partial(self, key: str) -> Path:
        """Return a folder that survives an interrupted pull, the same for the same key."""

    def add_file(
        self, path: Path, *, digest: str | None = None, move: bool = False, progress: ProgressCallback | None = None
    ) -> Layer:
        """Put a file in and return a layer for it (set its media type and name with `dataclasses.replace`).

        Args:
            path: The file.
            digest: What its bytes must be, `sha256:…`, or None.
            move: Whether the store may take the file itself: nothing is copied where it lies on the same file system.
                Say so for files of your own in a folder of `partial` only.
            progress: Told the bytes so far.

        Raises:
            DigestMismatch: The bytes are others than `digest` says.
            DiskFull: There was no space for a copy.
        """

    def add_bytes(self, data: bytes) -> Layer:
        """Put bytes in and return a layer for them."""

    def commit(self, name: ModelName, config: ModelConfig, layers: Sequence[Layer]) -> None:
        """Write a manifest of these layers, atomically; from here on the model exists.

        Raises:
            ModelCorrupt: The model cannot be built, so it does not become one.
            ModelUnsupported: No backend can run it, so it does not become one.
        """

    def commit_manifest(self, name: ModelName, manifest: bytes) -> None:
        """Keep a manifest byte for byte as a registry sent it, so that the model's digest is the registry's.

        Raises:
            ModelCorrupt: It is not a manifest, or the model cannot be built.
            ModelUnsupported: No backend can run the model.
            StoreError: A blob that it names is not in the store.
        """


class ModelSource(ABC):
    """A place that models come from.

    It is asked by the scheme before the colon (`pip:…`), by names that it announces, and by hosts that it claims.
    """

    scheme: str
    """What stands before the colon: lower case, without the colon."""

    hosts: tuple[str, ...] = ()
    """Hosts whose models it pulls, in lower case: `hf.co` claims every name that begins with `hf.co/`."""

    def names(self) -> Iterable[str]:
        """Announce plain names this source can pull, like `photo-mini`. It asks no network."""
        return ()

    @abstractmethod
    def default_name(self, reference: str) -> ModelName:
        """Return the name a model from here gets when the user gives none.

        Args:
            reference: What follows the scheme, an announced name, or a whole name on a claimed host.
        """

    @abstractmethod
    def pull(self, reference: str, name: ModelName, store: ModelStore, progress: ProgressCallback) -> None:
        """Bring the model into the store under `name`: blobs first, the manifest last and once.

        The same model has the same digest, whenever it is pulled and under whatever name. `progress` is told at least
        once before the manifest is written. What it raises ends the call and comes out, and so does what the store
        raises. No model is left behind then.

        Raises:
            PullFailed: It could not be had; what was fetched so far is kept where that helps.
            DigestMismatch: What came is not what was pinned.
        """
