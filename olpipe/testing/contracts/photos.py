"""The contracts of image loaders and perceivers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from olpipe.errors import ImageTooLarge, ImageUnreadable
from olpipe.imaging.decode import decode
from olpipe.interfaces import ImageLoader, Perceiver
from olpipe.languages import choose, is_tag
from olpipe.testing.images import corners, decoded, photo

MANY = 10**9


class ImageLoaderContract:
    """Every `ImageLoader`. Give it the fixture `loader`.

    Attributes:
        file_format: A format the loader reads and Pillow can write.
        suffix: A suffix of that format.
    """

    file_format: str
    suffix: str

    @pytest.fixture
    def loader(self) -> ImageLoader:
        """Return the loader."""
        raise NotImplementedError

    def photo(self, *, orientation: int = 1) -> bytes:
        """Return a photo of 48 x 32 pixels; override it where Pillow cannot write the format."""
        return photo(orientation=orientation, file_format=self.file_format)

    def test_it_has_a_name_and_suffixes(self, loader: ImageLoader) -> None:
        """Suffixes are lower case and begin with their dot."""
        assert loader.name
        assert loader.suffixes
        assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in loader.suffixes)

    def test_it_recognises_its_own_and_nothing_else(self, loader: ImageLoader) -> None:
        """The first 64 bytes and the suffix are all it may go by."""
        assert loader.recognises(self.photo()[:64], self.suffix)
        assert not loader.recognises(b"a text".ljust(64), ".txt")
        assert not loader.recognises(b"", "")

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_it_turns_photos_upright(self, loader: ImageLoader, orientation: int) -> None:
        """Pixels and size are upright, the orientation is told as found."""
        image = loader.decode(self.photo(orientation=orientation), refuse_pixels=MANY, fit_pixels=MANY)
        assert (image.pixels.shape, image.pixels.dtype.name) == ((32, 48, 3), "uint8")
        assert (image.width, image.height) == (48, 32)
        assert image.orientation == orientation
        assert corners(image.pixels) == "RGBW"

    def test_it_says_what_format_it_was(self, loader: ImageLoader) -> None:
        """Records name it."""
        image = loader.decode(self.photo(), refuse_pixels=MANY, fit_pixels=MANY)
        assert image.format == self.file_format

    def test_it_scales_large_photos_down_and_remembers_their_size(self, loader: ImageLoader) -> None:
        """Boxes are in pixels of the original."""
        image = loader.decode(self.photo(), refuse_pixels=MANY, fit_pixels=48 * 32 // 4)
        assert image.pixels.shape == (16, 24, 3)
        assert (image.width, image.height) == (48, 32)

    def test_it_never_scales_up(self, loader: ImageLoader) -> None:
        """Made-up pixels cost time and say nothing."""
        assert loader.decode(self.photo(), refuse_pixels=MANY, fit_pixels=MANY).pixels.shape == (32, 48, 3)

    def test_it_refuses_too_many_pixels(self, loader: ImageLoader) -> None:
        """The limit itself is allowed."""
        loader.decode(self.photo(), refuse_pixels=48 * 32, fit_pixels=MANY)
        with pytest.raises(ImageTooLarge):
            loader.decode(self.photo(), refuse_pixels=48 * 32 - 1, fit_pixels=MANY)

    def test_damaged_files_are_unreadable(self, loader: ImageLoader) -> None:
        """No half photo comes out; a library's own exception may, for whoever decodes expects any."""
        data = self.photo()
        for damaged in (b"", data[:20], data[: len(data) // 2], data[:20] + bytes(len(data) - 20)):
            with pytest.raises(ImageUnreadable):
                decode(damaged, self.suffix, [loader])


class PerceiverContract:
    """Every `Perceiver`. Give it the fixture `perceiver`."""

    @pytest.fixture
    def perceiver(self) -> Perceiver:
        """Return the perceiver."""
        raise NotImplementedError

    def test_it_has_a_name_and_a_version(self, perceiver: Perceiver) -> None:
        """Both are part of every recipe's key."""
        assert isinstance(perceiver.name, str)
        assert perceiver.name
        assert isinstance(perceiver.version, str)
        assert perceiver.version

    @pytest.mark.parametrize(("width", "height", "scale"), [(48, 32, 1), (48, 32, 7), (300, 2, 1), (1, 1, 1)])
    def test_its_boxes_lie_inside_the_original(self, perceiver: Perceiver, width: int, height: int, scale: int) -> None:
        """Whatever the size and shape of the pixels it is given."""
        for thing in perceiver.perceive(decoded(width, height, scale=scale)).objects:
            assert thing.box.area > 0
            assert 0 <= thing.box.x <= width * scale - thing.box.w
            assert 0 <= thing.box.y <= height * scale - thing.box.h

    def test_it_is_surest_first_and_says_how_sure(self, perceiver: Perceiver) -> None:
        """Scores are in 0..1, and no tag comes twice."""
        evidence = perceiver.perceive(decoded())
        names = [label.name for label in evidence.tags]
        assert len(names) == len(set(names))
        for scores in ([label.score for label in evidence.tags], [thing.score for thing in evidence.objects]):
            assert all(0.0 <= score <= 1.0 for score in scores)
            assert all(first >= second for first, second in pairwise(scores))

    def test_its_words_stand_under_tags_of_languages(self, perceiver: Perceiver) -> None:
        """None is empty, and English needs none."""
        translations = perceiver.translations()
        assert [tag for tag in translations if not is_tag(tag) or choose(tag, ("en",))] == []
        assert all(name and word.strip() for words in translations.values() for name, word in words.items())

    def test_the_same_photo_gives_the_same_evidence(self, perceiver: Perceiver) -> None:
        """From several threads at once, too."""
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(perceiver.perceive, [decoded() for _ in range(6)]))
        assert all(evidence == found[0] for evidence in found)
