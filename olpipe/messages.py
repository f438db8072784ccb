"""What is said to a model: messages of text and image parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from olpipe.image import DecodedImage

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class TextPart:
    """Some text."""

    text: str


@dataclass(frozen=True, slots=True)
class ImagePart:
    """An image, decoded."""

    image: DecodedImage


Part = TextPart | ImagePart


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, role: Role, text: str, *images: DecodedImage) -> Message:
        """Make a message of images followed by one text."""
        return cls(role, (*(ImagePart(image) for image in images), TextPart(text)))

    @property
    def text(self) -> str:
        """All text parts, joined by newlines."""
        return "\n".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def images(self) -> tuple[DecodedImage, ...]:
        """All images, in order."""
        return tuple(part.image for part in self.parts if isinstance(part, ImagePart))
