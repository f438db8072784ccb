"""What runs models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from olpipe.embedding import Embeddings, EmbedRequest
from olpipe.errors import OlpipeError, UsageError
from olpipe.generation import Chunk, GenerateRequest
from olpipe.interfaces.progress import ProgressCallback
from olpipe.interfaces.vision import Family
from olpipe.model import LoadOptions, ModelBundle, RunnerInfo
from olpipe.registry import Registry
from olpipe.tokens import CountRequest, DetokenizeRequest, TokenizeRequest


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request made ready for one runner. Runners extend it with what they need.

    Attributes:
        prompt_tokens: Tokens of the prompt.
        cut_messages: Messages that were left out because the prompt was too long.
        cut_tokens: Tokens of these messages, and of texts that were cut. The answer's usage will say both numbers.
    """

    prompt_tokens: int
    cut_messages: int = field(default=0, kw_only=True)
    cut_tokens: int = field(default=0, kw_only=True)


class Runner(ABC):
    """A loaded model. It lives in a process of its own.

    One thread calls `start`, `step`, `stop`, `embed` and `close`. Another thread calls `prepare`, `tokenize`,
    `detokenize` and `count_tokens`, even while the first is inside `step`: so a long prompt is prepared while others
    are answered.
    """

    info: RunnerInfo
    """What it can do."""

    @abstractmethod
    def prepare(self, request: GenerateRequest) -> Prepared:
        """Turn a request into token ids and tensors.

        Do not change the request. Do what it asks for or refuse it, and never ignore it: that holds for photos,
        guidance, tools, thinking, a raw prompt, a suffix, a chat template and probabilities.

        Prompt and answer have at most `request.context_within(self.info.context_length)` tokens. A runner may refuse a
        prompt that is too long even where the request allows it to be cut. `olpipe.decoding.cutting` cuts prompts.

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

    def tokenize(self, request: TokenizeRequest) -> tuple[int, ...]:
        """Cut a text into tokens. `olpipe.decoding.tokens` does this for a `Vocabulary`.

        Nothing is added before or behind the text. `detokenize` makes the same text of the tokens.

        Raises:
            UsageError: This runner does not show its tokens.
        """
        raise UsageError(f"`{request.model}` does not show its tokens")

    def detokenize(self, request: DetokenizeRequest) -> str:
        """Join tokens to a text. Bytes that are not a whole character become U+FFFD.

        Raises:
            UsageError: A token does not exist, or this runner does not show its tokens.
        """
        raise UsageError(f"`{request.model}` does not show its tokens")

    def count_tokens(self, request: CountRequest) -> int:
        """Count the tokens of a prompt, with its images, before anything is cut.

        This prepares the whole request. A runner may count with less work, and may count prompts that do not fit.

        Raises:
            ContextExceeded: The prompt does not fit, and was not counted.
            UsageError: The request asks for something that this runner does not do.
        """
        return self.prepare(replace(request.prompt, truncate=False)).prompt_tokens

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

    architectures: frozenset[str] | None = None
    """The architectures of GGUF files that it runs, as `general.architecture` names them; None where it does not say.

    Where all backends say, a model of another architecture is refused before its file is downloaded."""

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
