"""The contract of image loaders."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from olpipe.errors import ImageTooLarge, ImageUnreadable
from olpipe.imaging.decode import decode
from olpipe.interfaces import ImageLoader
from olpipe.testing.images import corners, photo

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
        assert isinstance(loader.name, str)
        assert loader.name
        assert loader.suffixes
        assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in loader.suffixes)
        assert self.suffix in loader.suffixes

    def test_it_recognises_its_own(self, loader: ImageLoader) -> None:
        """The first 64 bytes and the suffix are all that it gets."""
        assert loader.recognises(self.photo()[:64], self.suffix) is True

    def test_it_recognises_nothing_else(self, loader: ImageLoader) -> None:
        """No other loader is asked about a file that it claims. A file may be shorter than 64 bytes."""
        for header, suffix in ((b"a text".ljust(64), ".txt"), (b"", ""), (b"\x00", ".bin"), (b"II*\x00raw", ".cr2")):
            assert loader.recognises(header, suffix) is False

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_it_turns_photos_upright(self, loader: ImageLoader, orientation: int) -> None:
        """Pixels and size are upright, and `orientation` is what the file says."""
        image = loader.decode(self.photo(orientation=orientation), refuse_pixels=MANY, fit_pixels=MANY)
        assert (image.width, image.height) == (48, 32)
        assert image.orientation == orientation
        assert corners(image.pixels) == "RGBW"

    def test_its_pixels_are_rgb(self, loader: ImageLoader) -> None:
        """They are (H, W, 3) uint8, red first."""
        image = loader.decode(self.photo(), refuse_pixels=MANY, fit_pixels=MANY)
        assert (image.pixels.shape, image.pixels.dtype.name) == ((32, 48, 3), "uint8")
        assert corners(image.pixels) == "RGBW"

    def test_it_says_what_format_it_was(self, loader: ImageLoader) -> None:
        """Records name the format."""
        image = loader.decode(self.photo(), refuse_pixels=MANY, fit_pixels=MANY)
        assert image.format == self.file_format

    def test_it_scales_large_photos_down_and_remembers_their_size(self, loader: ImageLoader) -> None:
        """Boxes are in pixels of the original."""
        image = loader.decode(self.photo(), refuse_pixels=MANY, fit_pixels=48 * 32 // 4)
        assert image.pixels.shape == (16, 24, 3)
        assert (image.width, image.height) == (48, 32)
        assert corners(image.pixels) == "RGBW"

    def test_it_turns_what_it_scales_down(self, loader: ImageLoader) -> None:
        """The size that it remembers is the upright one."""
        image = loader.decode(self.photo(orientation=6), refuse_pixels=MANY, fit_pixels=48 * 32 // 4)
        assert image.pixels.shape == (16, 24, 3)
        assert (image.width, image.height) == (48, 32)

    def test_it_never_scales_up(self, loader: ImageLoader) -> None:
        """Made-up pixels cost time and say nothing."""
        assert loader.decode(self.photo(), refuse_pixels=MANY, fit_pixels=MANY).pixels.shape == (32, 48, 3)

    def test_it_refuses_too_many_pixels(self, loader: ImageLoader) -> None:
        """A photo with exactly that many pixels is decoded. To what size it is scaled down makes no difference."""
        loader.decode(self.photo(), refuse_pixels=48 * 32, fit_pixels=MANY)
        for fit_pixels in (MANY, 100):
            with pytest.raises(ImageTooLarge):
                loader.decode(self.photo(), refuse_pixels=48 * 32 - 1, fit_pixels=fit_pixels)

    def test_damaged_files_are_unreadable(self, loader: ImageLoader) -> None:
        """Half a photo is never returned. Any exception will do: the caller turns it into `ImageUnreadable`."""
        data = self.photo()
        cut = [data[: len(data) * eighths // 8] for eighths in (4, 5, 6, 7)]
        damaged = (b"", data[:20], *cut, data[:20] + bytes(len(data) - 20))
        claimed = [one for one in damaged if loader.recognises(one[:64], self.suffix)]
        assert claimed
        for one in claimed:
            with pytest.raises(ImageUnreadable):
                decode(one, self.suffix, [loader])

    def test_several_threads_may_call_it_at_once(self, loader: ImageLoader) -> None:
        """A batch decodes photos ahead of the model."""

        def turned(orientation: int) -> tuple[int, str]:
            image = loader.decode(self.photo(orientation=orientation), refuse_pixels=MANY, fit_pixels=MANY)
            return image.orientation, corners(image.pixels)

        wanted = list(range(1, 9)) * 4
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(turned, wanted)) == [(orientation, "RGBW") for orientation in wanted]
