"""What reads photos, and what sees things in them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping

from olpipe.image import USUAL_PIXELS, DecodedImage
from olpipe.record import Evidence


class ImageLoader(ABC):
    """Reads one or more image formats. Called from several threads at once."""

    name: str
    """Its name, as messages give it."""

    suffixes: tuple[str, ...] = ()
    """Lower-case file suffixes with their dot that discovery should consider."""

    @abstractmethod
    def recognises(self, header: bytes, suffix: str) -> bool:
        """Say whether this loader is the one for a file.

        Args:
            header: The first 64 bytes, or as many as there are.
            suffix: The file's suffix, in lower case and with its dot; may be empty.
        """

    @abstractmethod
    def decode(self, data: bytes, *, refuse_pixels: int, fit_pixels: int) -> DecodedImage:
        """Decode to upright sRGB. Photos are scaled down, never up, and remember the size of the original.

        Whatever else is raised for damaged bytes is taken for `ImageUnreadable`.

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
    """How `--perceivers` and recipes call it."""

    version: str
    """Changes whenever the same photo may give other evidence: it is part of every recipe's key."""

    fit_pixels: int = USUAL_PIXELS
    """How many pixels of a photo it can use. Larger photos are scaled down to about this many for it."""

    @abstractmethod
    def perceive(self, image: DecodedImage) -> Evidence:
        """Return what is in the photo.

        - Names are English singular nouns of at most 40 characters (`olpipe.record.LONGEST_NAME`), without commas. A
          record leaves longer ones out. The recipe that ships takes the 12 surest tags.
        - Words that stand written in the photo go into `texts`, as they are written.
        - Boxes are in whole pixels of the upright original, which may be larger than `image.pixels`: those are at most
          about `fit_pixels`, one megapixel unless the perceiver says otherwise.
        - Scores are in 0..1. The surest comes first, and no tag comes twice.
        - Numbers are Python's own, not numpy's: evidence is kept as JSON.
        - The pixels are left as they are: others look at them, too.
        """

    def translations(self) -> Mapping[str, Mapping[str, str]]:
        """Return its names in other languages: by BCP 47 tag, the words by their English names.

        A name that is missing stays English. The words are part of the key of recipes in their language,
        so `version` need not change with them.
        """
        return {}

    def words(self) -> Mapping[str, Collection[str]]:
        """Return what people call the things that it looks for, by its names for them.

        Every form is a single word in lower case.
        A model that knows of a photo only what the evidence says is kept from the words of what was not found.
        With other words comes another `version`.
        """
        return {}
