"""A prompt as a model reads it: token ids, the features of its images, and what each position shows."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Identity = tuple[Hashable, ...]
"""One item for each position. As long as the items of two prompts are equal from the start, so are their KV caches."""

NARROWEST = 2
"""How many tokens of a prompt are always computed anew: a forward of a single token may round differently."""


@dataclass(frozen=True, slots=True, eq=False)
class PlacedImage:
    """What a vision encoder made of one image, and the positions of the prompt that show the image.

    Attributes:
        start: The first of the positions.
        length: How many positions there are.
        digest: A digest of the pixels and of everything else that the features depend on. It tells images apart.
        features: The encoder's outputs by their names, as the model's graph takes them.
    """

    start: int
    length: int
    digest: str
    features: Mapping[str, npt.NDArray[np.generic]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """A prompt, ready to be prefilled.

    Attributes:
        tokens: Token ids. At the positions of an image they are placeholders.
        images: The images, in order.
        identity: What each position shows: its token id, or for an image its digest and the place within it. Two images
            have the same placeholders. So prompts that share a KV cache are compared by their identities, not by their
            tokens.
    """

    tokens: tuple[int, ...]
    images: tuple[PlacedImage, ...] = ()
    identity: Identity = field(init=False)

    def __post_init__(self) -> None:
        identity: list[Hashable] = list(self.tokens)
        for image in self.images:
            if image.start < 0 or image.length < 1 or image.start + image.length > len(identity):
                raise ValueError("an image lies outside its prompt")
            places = range(image.length)
            identity[image.start : image.start + image.length] = [(image.digest, place) for place in places]
        object.__setattr__(self, "identity", tuple(identity))

    def __len__(self) -> int:
        return len(self.tokens)

    def beginning(self, length: int) -> Prompt:
        """Return a prompt of the first `length` positions. An image that reaches beyond them is cut."""
        images = (
            PlacedImage(image.start, min(image.length, length - image.start), image.digest, image.features)
            for image in self.images
            if image.start < length
        )
        return Prompt(self.tokens[:length], tuple(images))

    def followed_by(self, tokens: Sequence[int]) -> Prompt:
        """Return a prompt with more tokens behind it."""
        return Prompt((*self.tokens, *tokens), self.images) if tokens else self


def shareable(identity: Identity, prefilled: Identity) -> int:
    """Return how many of its first positions a prompt may take over from another prompt that was prefilled.

    Args:
        identity: The identity of the prompt.
        prefilled: The identity of the other prompt.
    """
    most = min(len(identity) - NARROWEST, len(prefilled))
    return next((at for at in range(most) if identity[at] != prefilled[at]), max(most, 0))
