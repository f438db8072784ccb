"""What runs models, and where models come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from olpipe.errors import OlpipeError
from olpipe.generation import Chunk, GenerateRequest
from olpipe.interfaces.progress import ProgressCallback
from olpipe.model import Layer, LoadOptions, ModelBundle, ModelConfig, ModelName, RunnerInfo


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
