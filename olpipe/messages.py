"""What a model is told and what it answers: messages, each made of parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

from olpipe.image import DecodedImage

Role = Literal["system", "user", "assistant", "tool"]
"""Who speaks: `system` sets the model up, `user` asks, `assistant` is the model, `tool` is a tool that it called."""


@dataclass(frozen=True, slots=True)
class TextPart:
    """Some text.

    Attributes:
        text: The text.
    """

    text: str


@dataclass(frozen=True, slots=True)
class ImagePart:
    """A decoded image, at its place among the other parts.

    Attributes:
        image: The image.
    """

    image: DecodedImage


@dataclass(frozen=True, slots=True)
class ThinkingPart:
    """What the model thought before it answered.

    Attributes:
        text: Its thoughts.
    """

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallPart:
    """A call of a tool that the model asks for.

    Attributes:
        call_id: Tells the calls of a conversation apart. The tool's result repeats it.
        name: The tool's name.
        arguments: The arguments as the text of a JSON object. Its keys keep the model's order.
    """

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolResultPart:
    """What a tool returned, in a message of the role `tool`. Images that it returned are parts of the same message.

    Attributes:
        call_id: The `call_id` of the call that it answers.
        name: The tool's name.
        text: The result.
    """

    call_id: str
    name: str
    text: str


Part = TextPart | ImagePart | ThinkingPart | ToolCallPart | ToolResultPart
"""What a message is made of."""

P = TypeVar("P", TextPart, ImagePart, ThinkingPart, ToolCallPart, ToolResultPart)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: Who speaks.
        parts: What is said, in the order in which the model reads it.
    """

    role: Role
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, role: Role, text: str, *images: DecodedImage) -> Message:
        """Make a message of images followed by one text."""
        return cls(role, (*(ImagePart(image) for image in images), TextPart(text)))

    @property
    def text(self) -> str:
        """All text parts, joined by newlines."""
        return "\n".join(part.text for part in self.of_kind(TextPart))

    @property
    def images(self) -> tuple[DecodedImage, ...]:
        """All images, in order."""
        return tuple(part.image for part in self.of_kind(ImagePart))

    def of_kind(self, kind: type[P]) -> tuple[P, ...]:
        """Return the parts of one kind, in order."""
        return tuple(part for part in self.parts if isinstance(part, kind))
