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
from olpipe.interfaces.vision import Family
from olpipe.model import Layer, LoadOptions, ModelBundle, ModelConfig, ModelName, RunnerInfo
from olpipe.registry import Registry


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request made ready for one runner. Runners extend it with what they need.

    Attributes:
        prompt_tokens: Tokens of the prompt.
    """

    prompt_tokens: int


class Runner(ABC):
    """A loaded model. It lives in a process of its own.

    One thread calls `start`, `step`, `stop`, `embed` and `close`. Another thread calls `prepare`, even while the first
    is inside `step`: so a long prompt is prepared while others are answered.
    """

    info: RunnerInfo
    """What it can do."""

    @abstractmethod
    def prepare(self, request: GenerateRequest) -> Prepared:
        """Turn a request into token ids and tensors.

        Do not change the request. Do what it asks for or refuse it, and never ignore it: that holds for photos,
        guidance, tools, thinking, a raw prompt, a suffix and probabilities.

        Raises:
            ContextExceeded: The prompt does not fit.
            UsageError: The request asks for something that this runner does not do.
        """

    @abstractmethod
    def start(self, sequence_id: int, prepared: Prepared) -> None:
        """Register a sequence; the first `step` prefills it. At most `info.slots` are registered at once.

        No answer depends on the other sequences, or on what was answered before.

        Args:
            sequence_id: A number that no registered sequence has.
            prepared: What `prepare` returned. Requests are started in any order, or never.

        Raises:
            ValueError: All slots are taken.
        """

    @abstractmethod
    def step(self) -> Sequence[tuple[int, Chunk | OlpipeError]]:
        """Advance every registered sequence a little and return what can be shown now.

        A chunk with a finish reason is the last one of its sequence: the sequence is gone afterwards, and its slot is
        free. An error in place of a chunk ends that sequence, too. An error that is raised ends all sequences. A step
        may return nothing. It returns nothing where no sequence is registered.

        Returns:
            Pairs of a sequence's id and its chunk or error.
        """

    @abstractmethod
    def stop(self, sequence_id: int) -> None:
        """Forget a sequence, finished or not; an unknown one is ignored."""

    def embed(self, request: EmbedRequest) -> Embeddings:
        """Turn texts into vectors. This is called only where `info.embeds` is true.

        A vector depends on its own text alone.

        Raises:
            ContextExceeded: A text is too long, and the request does not allow cutting it.
            UsageError: The request asks for more dimensions than there are.
        """
        raise UsageError(f"`{request.model}` makes no embeddings")

    def close(self) -> None:
        """Free the model."""


class SingleSequenceRunner(Runner):
    """The easy way to write a runner that answers one sequence at a time: write only `prepare` and `generate`."""

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

    families: Registry[Family] | None = None
    """The families of vision models that plugins bring.

    olpipe sets this before it asks for anything else, in every process. None stands for those that ship with olpipe."""

    @abstractmethod
    def refuses(self, bundle: ModelBundle) -> str | None:
        """Return why this backend cannot run a model, in a few words, or None when it can.

        Look into the model's configuration: the names of files are not enough to tell. Import no runtime, read no
        weights and write no files. `bundle.cache` may be empty or missing. The reason is one line, for example: it has
        no genai_config.json.
        """

    def family_of(self, bundle: ModelBundle) -> Family | None:
        """Return the family of vision models that shows images to a model; None where this backend uses none for it.

        The family's name and version become a part of every recipe's key. Other backends show images in a way of their
        own, which belongs to their own version.

        Args:
            bundle: A model that this backend does not refuse.
        """
        return None

    def build(self, bundle: ModelBundle, progress: ProgressCallback) -> None:
        """Make in `bundle.cache` what `load` will need. Return at once when it is there already.

        An interrupted call must never leave something that looks finished: make it beside its final place, then rename
        it. Call `progress` at least once before anything is finished, and let through what it raises: that is how a
        build is cancelled. Write nothing to `bundle.path`.

        Raises:
            ModelCorrupt: The files are damaged.
            ModelUnsupported: They are of a kind that is not built.
        """

    @abstractmethod
    def load(self, bundle: ModelBundle, options: LoadOptions) -> Runner:
        """Load a model that is built, in the process that calls.

        Args:
            bundle: The model. Its `system` opens every conversation that has no system message.
            options: Limits. The runner's `info` has no longer context and no more slots than they allow.

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
            move: Whether the store may move the file instead of copying it. Set this only for files that you made
                yourself in a folder of `partial`.
            progress: Called with the number of bytes so far.

        Raises:
            DigestMismatch: The bytes do not have the digest `digest`.
            DiskFull: There was no space for a copy.
        """

    def add_bytes(self, data: bytes) -> Layer:
        """Put bytes in and return a layer for them."""

    def commit(self, name: ModelName, config: ModelConfig, layers: Sequence[Layer]) -> None:
        """Write a manifest of these layers, atomically. From then on the model exists.

        Raises:
            ModelCorrupt: The model cannot be built, so it is not kept.
            ModelUnsupported: No backend can run the model, so it is not kept.
        """

    def commit_manifest(self, name: ModelName, manifest: bytes) -> None:
        """Keep a manifest byte for byte as a registry sent it, so that the model's digest is the registry's.

        A manifest is a JSON object. Its `config` is a layer, and its `layers` are a list of layers. A layer is an
        object with `mediaType`, `digest` (`sha256:…`) and `size` in bytes, and with `name` where it is a file. The
        blob of `config` is a JSON object with the attributes of `ModelConfig`. The page on models shows an example.

        Raises:
            ModelCorrupt: It is not a manifest, or the model cannot be built.
            ModelUnsupported: No backend can run the model.
            StoreError: A blob that it names is not in the store.
        """


class ModelSource(ABC):
    """A place that models come from.

    A source is found by the scheme before the colon (`pip:…`), by a name that it announces, or by a host that it
    claims.

    `@sha256:…` behind a name pins the model's digest. It is taken off before the source gets the name, and the store
    refuses a model with another digest. What follows a scheme is handed over as it was written: whether it may have a
    digest, and of what, the source decides, and the source checks it.
    """

    scheme: str
    """What stands before the colon: lower case, without the colon."""

    hosts: tuple[str, ...] = ()
    """Hosts whose models it pulls, in lower case. A name on a host needs a namespace: `hf.co` claims the names
    `hf.co/NAMESPACE/MODEL` and `hf.co/NAMESPACE/MODEL:TAG`, and `hf.co/MODEL` is no name."""

    def names(self) -> Iterable[str]:
        """Announce plain names that this source can pull, like `photo-mini`. Do not use the network for that.

        `olpipe plugins` lists them. They come before the hosts that other sources claim.
        """
        return ()

    @abstractmethod
    def default_name(self, reference: str) -> ModelName:
        """Return the name that a model from here gets when the user gives none.

        Args:
            reference: What follows the scheme, an announced name as it was announced, or a whole name on a claimed
                host: the host in lower case, as it is in `hosts`, then the namespace and the model, then the tag if
                the user wrote one.
        """

    @abstractmethod
    def pull(self, reference: str, name: ModelName, store: ModelStore, progress: ProgressCallback) -> None:
        """Bring the model into the store under `name`: first the blobs, then the manifest, once.

        The same model has the same digest, whenever it is pulled and under whatever name. Call `progress` at least once
        before the manifest is written. Let through what `progress` and the store raise; no model is left behind then.

        Args:
            reference: What to bring, as `default_name` gets it.
            name: What the model is called here. The user may have chosen it.
            store: Where it goes.
            progress: Told about every step.

        Raises:
            PullFailed: The model could not be fetched. What was fetched so far is kept where that helps.
            DigestMismatch: What was fetched does not have the digest in the reference.
        """
