"""What `olpipe run` and its sessions need of whoever answers, and the values that go there and back."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from olpipe.errors import ImageError, ImageUnreadable

if TYPE_CHECKING:
    from olpipe.cli.repl.preferences import Preferences
    from olpipe.embedding import Embeddings
    from olpipe.generation import Chunk, Completion
    from olpipe.messages import Role

PIPED = "-"
"""What a photo is called that was piped in."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Photo:
    """A photo as its file has it.

    Attributes:
        name: What the user calls it: its path, or `-` for one that was piped in.
        data: The bytes of the file.
    """

    name: str
    data: bytes

    @classmethod
    def read(cls, source: Path | bytes) -> Photo:
        """Read a photo. Whether the file holds an image is found out by whoever decodes it.

        Raises:
            ImageUnreadable: The file cannot be opened, or is empty.
        """
        if isinstance(source, bytes):
            return cls(PIPED, source)
        try:
            data = source.read_bytes()
        except OSError as error:
            raise ImageUnreadable(f"`{source}` cannot be opened: {error.strerror or error}") from error
        if not data:
            raise ImageUnreadable(f"`{source}`: the file is empty")
        return cls(str(source), data)

    @property
    def suffix(self) -> str:
        """The end of its name: `.jpg`."""
        return os.path.splitext(self.name)[1]

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Let errors in decoding it name it."""
        try:
            yield
        except ImageError as error:
            if self.name == PIPED:
                raise
            raise type(error)(f"`{self.name}`: {error.message}", hint=error.hint) from error


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation.

    Attributes:
        role: Who speaks.
        text: What is said.
        thinking: What the model thought before.
        photos: The photos that are shown. They come before the text.
    """

    role: Role
    text: str
    thinking: str = ""
    photos: tuple[Photo, ...] = ()


@dataclass(frozen=True, slots=True)
class Model:
    """What is known of a model.

    Attributes:
        name: The name by which it was asked for.
        full_name: The name with its tag.
        capabilities: What it can do, in the words of `ModelConfig.capabilities`.
        context_length: Tokens of prompt plus answer; 0 when not known.
        perceivers: Names of the perceivers that tell it about photos.
        opening: The turns with which it opens a conversation.
    """

    name: str
    full_name: str
    capabilities: tuple[str, ...] = ("completion",)
    context_length: int = 0
    perceivers: tuple[str, ...] = ()
    opening: tuple[Turn, ...] = ()

    @property
    def sees(self) -> bool:
        """Whether the model itself sees photos."""
        return "vision" in self.capabilities

    @property
    def thinks(self) -> bool:
        """Whether it can think before it answers."""
        return "thinking" in self.capabilities

    @property
    def only_embeds(self) -> bool:
        """Whether it makes embeddings and writes no answers."""
        return "embedding" in self.capabilities and "completion" not in self.capabilities

    def looks(self, perceivers: Sequence[str] | None) -> bool:
        """Say whether anything looks at photos: the model, or a perceiver.

        Args:
            perceivers: The perceivers that were asked for; None for the model's own.
        """
        return self.sees or bool(self.perceivers if perceivers is None else perceivers)


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a model is asked.

    Attributes:
        turns: What was said, oldest first. A system message comes first.
        opens: Whether the turns with which the model opens a conversation come before them.
        truncate: Whether the oldest turns are left out where the conversation is longer than the context.
    """

    turns: tuple[Turn, ...]
    opens: bool = True
    truncate: bool = True


class Answer(Protocol):
    """An answer on its way. One thread reads it."""

    def __iter__(self) -> Iterator[Chunk]:
        """Yield the answer piece by piece, as it is to be shown.

        Raises:
            OlpipeError: What went wrong.
        """

    def cancel(self) -> None:
        """End the answer here. Who reads it gets its end, with the finish reason `cancelled`.

        The handler of a signal may call this, in the thread that reads the answer.
        """

    def completion(self) -> Completion:
        """Return the whole answer, once the iteration has ended.

        Raises:
            OlpipeError: What went wrong.
        """

    def judge(self, completion: Completion) -> None:
        """Judge a document that was shown already.

        Raises:
            InvalidOutput: It does not fit the format that was asked for.
        """


class Host(Protocol):
    """Whoever has models and lets them answer."""

    @property
    def is_olpipe(self) -> bool:
        """Whether it is olpipe. If not, it is a server that knows Ollama's API only."""

    def find(self, model: str, *, pulls: bool) -> Model:
        """Return what is known of a model.

        Args:
            model: Its name.
            pulls: Whether it is pulled where it is missing.

        Raises:
            ModelNotFound: It is missing, and was not or cannot be pulled.
            InvalidName: The text is not a name.
        """

    def load(self, model: Model, preferences: Preferences) -> None:
        """Have a model loaded that is to be talked with, and wait for that.

        Raises:
            OlpipeError: It cannot be loaded, or a preference cannot be met.
            KeyboardInterrupt: It took the user too long.
        """

    def ask(self, model: Model, conversation: Conversation, preferences: Preferences) -> Answer:
        """Ask a model, and return when its answer begins or is about to.

        Raises:
            OlpipeError: It cannot be asked. An error about a photo names it.
            KeyboardInterrupt: It took the user too long.
        """

    def embed(self, model: Model, text: str, preferences: Preferences, dimensions: int | None) -> Embeddings:
        """Return the vector of a text.

        Args:
            model: A model that makes embeddings.
            text: The text.
            preferences: How the model is loaded, and how long it stays.
            dimensions: Cut the vector to this many values; None keeps all.

        Raises:
            OlpipeError: It cannot be made.
        """

    def save(self, name: str, model: Model, turns: Sequence[Turn], preferences: Preferences) -> None:
        """Make a model of a conversation with another one. It gets the texts of the turns, and no photos.

        Args:
            name: What to call it.
            model: The model that was talked with.
            turns: What was said.
            preferences: Its system message and its parameters become the model's.

        Raises:
            OlpipeError: It cannot be made.
        """

    def show(self, model: Model) -> Mapping[str, Any]:
        """Return all that there is to say of a model, by the keys of Ollama's `/api/show`.

        Raises:
            OlpipeError: It was removed, or is damaged.
        """

    def names(self) -> list[str]:
        """Return the names of all models."""
