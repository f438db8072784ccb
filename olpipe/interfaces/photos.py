"""What reads photos, and what sees things in them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping

from olpipe.image import DecodedImage
from olpipe.record import Evidence


class ImageLoader(ABC):
    """Reads one or more image formats."""

    name: str
    suffixes: tuple[str, ...] = ()
    """Lower-case file suffixes with their dot that discovery should consider."""

    @abstractmethod
    def recognises(self, header: bytes, suffix: str) -> bool:
        """Say whether this loader is the one for a file, from its first 64 bytes and its suffix."""

    @abstractmethod
    def decode(self, data: bytes, *, refuse_pixels: int, fit_pixels: int) -> DecodedImage:
        """Decode to upright sRGB.

        Args:
            data: The whole file.
            refuse_pixels: More pixels than this are refused before they are decoded.
            fit_pixels: Larger images are scaled down to about this many pixels, keeping the aspect.

        Raises:
            ImageUnreadable: Damaged or truncated.
            ImageTooLarge: More than `refuse_pixels`.
            ImageUnsupported: The format needs something that is not installed; the hint says what.
        """


class Perceiver(ABC):
    """Sees things in a photo without a language model. Called from several threads at once."""

    name: str
    version: str
    """Changes whenever the same photo may give other evidence: it is part of every recipe's key."""

    @abstractmethod
    def perceive(self, image: DecodedImage) -> Evidence:
        """Return what is in the photo, in English; boxes in pixels of the upright original."""

    def translations(self) -> Mapping[str, Mapping[str, str]]:
        """Return its names in other languages: by BCP 47 tag, the words by their English names.

        A name that is missing stays English. The words are part of the key of recipes in their language,
        so `version` need not change with them.
        """
        return {}

    def words(self) -> Mapping[str, Collection[str]]:
        """Return what people call the things that it looks for, by its names for them; every form is a word.

        A model that knows of a photo only what the evidence says is kept from the words of what was not found.
        With other words comes another `version`.
        """
        return {}
