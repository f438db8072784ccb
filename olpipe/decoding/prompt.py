"""A prompt as a model reads it: token ids, the features of its images, and what each position shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from olpipe.image import ShownImage

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Identity = tuple[int | tuple[str, int], ...]
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
        rows: For each position the number of its row of features, from 1 on, or 0 for a token of text between the
            features. Empty where all positions have features, one row after the other.
        rotary: For each position its rotary positions in time, row and column, (3, length). They count from the
            position that the prompt has reached. None where each position is one further than the one before.
        shown: The size in which the model sees it; None where that is not known.
        view: What the encoder has to look at, where the features are made later.
    """

    start: int
    length: int
    digest: str
    features: Mapping[str, npt.NDArray[np.generic]] = field(default_factory=dict)
    rows: tuple[int, ...] = ()
    rotary: npt.NDArray[np.int64] | None = None
    shown: ShownImage | None = None
    view: object = None

    @property
    def end(self) -> int:
        """The first position behind it."""
        return self.start + self.length


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """A prompt, ready to be prefilled.

    Attributes:
        tokens: Token ids. At the positions of an image they are placeholders.
        images: The images, in order.
        identity: What each position shows: its token id, or for an image a pair of its digest and the place within it.
            Two images have the same placeholders. So prompts that share a KV cache are compared by their identities,
            not by their tokens.
    """

    tokens: tuple[int, ...]
    images: tuple[PlacedImage, ...] = ()
    identity: Identity = field(init=False)

    def __post_init__(self) -> None:
        identity: list[int | tuple[str, int]] = list(self.tokens)
        for image in self.images:
            if image.start < 0 or image.length < 1 or image.start + image.length > len(identity):
                raise ValueError("an image lies outside its prompt")
            places = range(image.length)
            identity[image.start : image.start + image.length] = [(image.digest, place) for place in places]
        object.__setattr__(self, "identity", tuple(identity))

    def __len__(self) -> int:
        return len(self.tokens)

    def beginning(self, length: int) -> Prompt:
        """Return a prompt of the first `length` positions.

        Raises:
            ValueError: It would cut an image. `whole` says where to cut.
        """
        if self.whole(length) != length:
            raise ValueError(f"position {length} lies within an image")
        return Prompt(self.tokens[:length], tuple(image for image in self.images if image.end <= length))

    def whole(self, length: int) -> int:
        """Return where to cut the prompt so that its beginning has at most `length` positions and cuts no image."""
        return next((image.start for image in self.images if image.start < length < image.end), length)

    def rotary_positions(self) -> npt.NDArray[np.int64]:
        """Return the rotary positions of all tokens in time, row and column, (3, length).

        Text goes on one behind the largest position so far. Without images that have positions of their own, each
        position is that of its token.
        """
        import numpy as np

        positions = np.empty((3, len(self)), np.int64)
        at = reached = 0
        for image in self.images:
            if image.rotary is None:
                continue
            # 1. The text before the image. 2. The image. 3. The text goes on behind it.
            positions[:, at : image.start] = reached + np.arange(image.start - at)
            reached += image.start - at
            positions[:, image.start : image.end] = reached + image.rotary
            at, reached = image.end, reached + int(image.rotary.max()) + 1
        positions[:, at:] = reached + np.arange(len(self) - at)
        return positions

    def followed_by(self, tokens: Sequence[int]) -> Prompt:
        """Return a prompt with more tokens behind it."""
        return Prompt((*self.tokens, *tokens), self.images) if tokens else self


def shareable(identity: Identity, prefilled: Identity, *, images_first: bool = False) -> int:
    """Return how many of its first positions a prompt may take over from another prompt that was prefilled.

    Args:
        identity: The identity of the prompt.
        prefilled: The identity of the other prompt.
        images_first: Whether a sequence takes images only together with the first tokens of a prompt. Then both prompts
            must have the same images, and all of them must be shared.
    """
    most = min(len(identity) - NARROWEST, len(prefilled))
    shared = next((at for at in range(most) if identity[at] != prefilled[at]), max(most, 0))
    # An image is shared as a whole or not at all: its tokens may attend to each other.
    following = identity[shared] if shared < len(identity) else None
    shared -= following[1] if isinstance(following, tuple) else 0
    further = any(isinstance(item, tuple) for item in (*identity[shared:], *prefilled[shared:]))
    return 0 if images_first and further else shared
