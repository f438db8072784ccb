"""What reads photos, and what finds things in them."""

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

    def check_installed(self) -> None:
        """Raise an error where a library that it needs is not installed. So no large file is read for nothing.

        Raises:
            ImageUnsupported: One is missing; the hint says how to install it.
        """
        return

    @abstractmethod
    def decode(self, data: bytes, *, refuse_pixels: int, fit_pixels: int) -> DecodedImage:
        """Decode a file to upright sRGB. Scale large photos down, none up, and keep the size of the original.

        If anything else is raised, it counts as `ImageUnreadable`.

        Args:
            data: The whole file.
            refuse_pixels: An image with more pixels than this is refused before it is decoded.
            fit_pixels: A larger image is scaled down to about this many pixels. Its proportions are kept.

        Raises:
            ImageUnreadable: The file is damaged or cut short.
            ImageTooLarge: The image has more than `refuse_pixels`.
            ImageUnsupported: The format needs something that is not installed; the hint says what.
        """


class Perceiver(ABC):
    """Finds things in a photo without a language model. Called from several threads at once.

    It gets pixels, the size of the original, its orientation and its format. It gets nothing else of the file: no path,
    no bytes, no other EXIF data and no comments.
    """

    name: str
    """How `--perceivers` and recipes call it."""

    version: str
    """Changes whenever the same photo may give other evidence: it is part of every recipe's key.

    Evidence is kept between runs under this version. Until it changes, no photo is looked at again.
    """

    fit_pixels: int = USUAL_PIXELS
    """How many pixels of a photo it can use; about one megapixel where it says nothing.

    It gets larger photos scaled down to about this many. What it sees does not depend on what others can use.
    """

    reads: bool = False
    """Whether it reads words that are written in photos. Records then hold these words, and recipes' keys say so."""

    @abstractmethod
    def perceive(self, image: DecodedImage) -> Evidence:
        """Return what is in the photo.

        - Names are English singular nouns of at most 40 characters (`olpipe.record.LONGEST_NAME`), without commas. The
          recipe that ships takes the 12 surest tags.
        - Words that are written in the photo go into `texts`, exactly as they are written, in the order in which people
          read them. A perceiver that gives some has `reads = True`.
        - Boxes are in whole pixels of the upright original. `image.pixels` may be smaller than the original: it has at
          most about `fit_pixels` pixels.
        - Scores are in 0..1. The surest comes first, and no tag comes twice.
        - Numbers are Python's own, not numpy's, because evidence is kept as JSON.
        - Do not change the pixels: other perceivers look at them, too.

        A name, a score or a box that breaks a rule is left out, with one warning a run that has this perceiver's name.
        The rest stays known.
        """

    def translations(self) -> Mapping[str, Mapping[str, str]]:
        """Return this perceiver's names in other languages.

        The keys are BCP 47 tags. Each value maps English names to words of that language. A name that is missing stays
        English. The words are part of the key of recipes in their language, so `version` need not change with them.
        """
        return {}

    def words(self) -> Mapping[str, Collection[str]]:
        """Return the words that people use for the things that this perceiver looks for.

        The keys are the perceiver's own names, like `person`. Each value lists words for that thing, like `man` and
        `women`: single words in lower case, every form on its own. A model without vision knows only what the evidence
        says. So it must not use the words for things that were looked for and not found. Change `version` when the
        words change.
        """
        return {}
