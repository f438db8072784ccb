"""What the engine and a runner's process say to each other.

The parent sends `Load` once, then any number of `Submit`, `Embed`, `Tokenize` and `Cancel`. It closes the pipe to end
the process. The child answers the load with `Loaded` or `Refused`. It answers each request with `Begun`, then with any
number of `Answered`, one `Embedded` or one `Tokenized`, or with `Refused`.

A process that only builds a model gets `Build` first. It says `Reached` at every step and waits for `GoOn`. At its end
it says `Built` or `Refused`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from olpipe import errors
from olpipe.embedding import Embeddings, EmbedRequest
from olpipe.generation import Chunk, GenerateRequest
from olpipe.interfaces import Progress
from olpipe.model import LoadOptions, ModelBundle, RunnerInfo
from olpipe.settings import Settings
from olpipe.tokens import TokenRequest, Tokens

LOADING = 0
"""The sequence id of the load itself; requests count from 1."""


@dataclass(frozen=True, slots=True)
class Load:
    """Load a model. This is the first packet, and it comes once."""

    backend: str
    bundle: ModelBundle
    options: LoadOptions
    settings: Settings


@dataclass(frozen=True, slots=True)
class Build:
    """Build a model. This is the first packet, in place of `Load`, to a process that only builds."""

    backend: str
    bundle: ModelBundle
    settings: Settings


@dataclass(frozen=True, slots=True)
class GoOn:
    """Go on building. The process waits for this after each `Reached`."""


@dataclass(frozen=True, slots=True)
class Submit:
    """Answer a request.

    Attributes:
        sequence_id: The request's number from here on.
        request: What is asked.
        client: Who asks. Clients whose requests wait are served in turns.
    """

    sequence_id: int
    request: GenerateRequest
    client: str = ""


@dataclass(frozen=True, slots=True)
class Embed:
    """Turn texts into vectors.

    Attributes:
        sequence_id: The request's number from here on.
        request: The texts.
        client: Who asks. Clients whose requests wait are served in turns.
    """

    sequence_id: int
    request: EmbedRequest
    client: str = ""


@dataclass(frozen=True, slots=True)
class Tokenize:
    """Answer a request about tokens. It waits for no slot.

    Attributes:
        sequence_id: The request's number from here on.
        request: What is asked.
    """

    sequence_id: int
    request: TokenRequest


@dataclass(frozen=True, slots=True)
class Cancel:
    """Forget a request, whether it waits or runs. The child says nothing more about it."""

    sequence_id: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """The model is loaded."""

    info: RunnerInfo


@dataclass(frozen=True, slots=True)
class Reached:
    """How far building is."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class Built:
    """The model is built. The process ends."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The runner gets the request next. If the process dies from here on, the request may be the cause."""

    sequence_id: int


@dataclass(frozen=True, slots=True)
class Answered:
    """A piece of an answer; the one with a finish reason is the last."""

    sequence_id: int
    chunk: Chunk


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vectors of an `Embed`."""

    sequence_id: int
    embeddings: Embeddings


@dataclass(frozen=True, slots=True)
class Tokenized:
    """The answer to a `Tokenize`."""

    sequence_id: int
    tokens: Tokens


@dataclass(frozen=True, slots=True)
class ErrorValue:
    """An error as a value: the nearest class of `olpipe.errors`, message and hint."""

    kind: str
    message: str
    hint: str | None = None

    @classmethod
    def of(cls, error: BaseException, whose: str = "olpipe") -> Self:
        """Describe an error; one that was not raised on purpose becomes a `GenerationError` that says who failed."""
        if not isinstance(error, errors.OlpipeError):
            message = f"{whose} failed: {type(error).__name__}: {errors.first_line(error)}"
            return cls("GenerationError", message, "run again with OLPIPE_DEBUG=1 to see where")
        known = next(kind for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
        return cls(known.__name__, error.message, error.hint)

    def to_error(self) -> errors.OlpipeError:
        """Return the error to raise on this side."""
        kind = getattr(errors, self.kind, None)
        if not (isinstance(kind, type) and issubclass(kind, errors.OlpipeError)):
            raise ValueError(f"`{self.kind}` is not an error of olpipe")
        return kind(self.message, hint=self.hint)


@dataclass(frozen=True, slots=True)
class Refused:
    """A request, or the load, failed. Nothing more follows about it."""

    sequence_id: int
    error: ErrorValue


Command = Load | Build | GoOn | Submit | Embed | Tokenize | Cancel
Answer = Loaded | Begun | Answered | Embedded | Tokenized | Refused
BuildAnswer = Reached | Built | Refused
Packet = Command | Answer | BuildAnswer
