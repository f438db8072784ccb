"""What a client asks, whichever API it speaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from olpipe.asking.wishes import Wishes
from olpipe.messages import Part, Role
from olpipe.model import LoadOptions


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An image as it came. It is decoded when it is known how many of its pixels the model can use.

    Attributes:
        data: The bytes of the file.
        url: Where it has to be fetched first; empty where the bytes are here. `image_urls` fetches it.
        suffix: What its file's name ends with, such as `.tiff`, where the client says so. Some formats need it.
    """

    data: bytes
    url: str = ""
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation.

    Attributes:
        role: Who speaks.
        parts: What is said, in the order in which the model reads it.
    """

    role: Role
    parts: tuple[Part | EncodedImage, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """A request for an answer.

    Attributes:
        model: The model, as the client spelled it.
        turns: The conversation, oldest first.
        wishes: What is asked of the answer.
        options: How the model is loaded.
        keep_alive_s: How long the model stays loaded afterwards. None takes the settings' value; below 0 means for
            ever.
        stream: Whether the answer is sent as it is written.
        opens: Whether the turns with which the model opens a conversation come first.
        needs: What the model must be able to do, in the words of `ModelConfig.capabilities`.
    """

    model: str
    turns: tuple[Turn, ...]
    wishes: Wishes = field(default_factory=Wishes)
    options: LoadOptions = field(default_factory=LoadOptions)
    keep_alive_s: float | None = None
    stream: bool = True
    opens: bool = True
    needs: tuple[str, ...] = ("completion",)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked: the client only wants the model loaded or unloaded."""
        return not self.turns

    @property
    def images(self) -> list[EncodedImage]:
        """All images, in order."""
        return [part for turn in self.turns for part in turn.parts if isinstance(part, EncodedImage)]


@dataclass(frozen=True, slots=True)
class VectorQuestion:
    """A request for the vectors of some texts.

    Attributes:
        model: The model, as the client spelled it.
        texts: The texts.
        dimensions: Cut each vector to this many values; None keeps all.
        truncate: Whether a text that is too long is cut. If not, such a text is an error.
        options: How the model is loaded.
        keep_alive_s: As in `Question`.
    """

    model: str
    texts: tuple[str, ...]
    dimensions: int | None = None
    truncate: bool = True
    options: LoadOptions = field(default_factory=LoadOptions)
    keep_alive_s: float | None = None


@dataclass(frozen=True, slots=True)
class PhotoQuestion:
    """A request for the record of a photo.

    Attributes:
        image: The photo.
        file: What the record calls it.
        recipe: The name of the recipe.
        changes: What differs from the recipe, by the parameters of `Recipe.override`.
        sampling: Changes to how tokens are picked, by the fields of `SamplingParams`.
        options: How the model is loaded.
        keep_alive_s: As in `Question`.
    """

    image: EncodedImage
    file: str
    recipe: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    sampling: Mapping[str, Any] = field(default_factory=dict)
    options: LoadOptions = field(default_factory=LoadOptions)
    keep_alive_s: float | None = None
