"""The image loaders: whatever the file holds, upright sRGB of eight bits comes out, or a clear error."""

import io
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from olpipe.default_plugins.loaders.heif import HeifLoader
from olpipe.default_plugins.loaders.pillow import PillowLoader
from olpipe.errors import ImageTooLarge, ImageUnreadable, ImageUnsupported
from olpipe.imaging.decode import decode, load
from olpipe.testing.images import BLUE, GREEN, RED, WHITE, corners, quadrants

LOADERS = (PillowLoader(), HeifLoader())


def encode(image, file_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def picture(width=48, height=32):
    """Red, green over blue, white: every orientation of it looks different."""
    return Image.fromarray(quadrants(width, height))


# The stored picture is what a camera held so would have written for R G / B W upright:
# https://www.cipa.jp/std/documents/download_e.html?DC-008-Translation-2023-E, 4.6.5 (Orientation)
STORED_AS = {
    1: lambda array: array,
    2: lambda array: array[:, ::-1],
    3: lambda array: array[::-1, ::-1],
    4: lambda array: array[::-1],
    5: lambda array: array.transpose(1, 0, 2),
    6: lambda array: np.rot90(array, 1),
    7: lambda array: array[::-1, ::-1].transpose(1, 0, 2),
    8: lambda array: np.rot90(array, -1),
}


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_comes_out_upright(orientation, file_format):
    stored = Image.fromarray(np.ascontiguousarray(STORED_AS[orientation](quadrants())))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode(encode(stored, file_format, exif=exif), ".jpg", LOADERS)
    assert (image.width, image.height) == (48, 32)
    assert image.pixels.shape == (32, 48, 3)
    assert corners(image.pixels) == "RGBW"
    assert (image.orientation, image.format) == (orientation, file_format)


def test_a_photo_scaled_down_keeps_its_upright_original_size():
    stored = Image.fromarray(np.ascontiguousarray(np.rot90(quadrants(1200, 800), 1)))
    exif = Image.Exif()
    exif[0x0112] = 6
    image = decode(encode(stored, "JPEG", exif=exif), ".jpg", LOADERS, sizes=(60_000,))
    assert (image.width, image.height) == (1200, 800)
    assert image.pixels.shape == (200, 300, 3)
    assert corners(image.pixels) == "RGBW"


def test_a_small_photo_is_never_enlarged():
    image = decode(encode(picture(7, 5), "PNG"), ".png", LOADERS, sizes=(10_000,))
    assert image.pixels.shape == (5, 7, 3)


@pytest.mark.parametrize("orientation", [0, 9, 300])
def test_an_orientation_that_does_not_exist_is_taken_as_upright(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert decode(encode(picture(), "JPEG", exif=exif), ".jpg", LOADERS).orientation == 1


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_does_not_cost_the_photo():
    image = decode(encode(picture(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7f"), ".jpg", LOADERS)
    assert (image.orientation, corners(image.pixels)) == (1, "RGBW")


def grey(value, mode):
    return Image.fromarray(np.full((4, 4), value, dtype={"I;16": np.uint16, "F": np.float32, "I": np.int32}[mode]))


def transparent(mode):
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    return image.quantize() if mode == "P" else image.convert(mode)


@pytest.mark.parametrize(
    ("image", "file_format", "expected"),
    [
        (Image.new("L", (4, 4), 90), "PNG", (90, 90, 90)),
        (Image.new("1", (4, 4), 1), "PNG", WHITE),
        (Image.new("RGB", (4, 4), RED).quantize(), "PNG", RED),
        (Image.new("RGB", (4, 4), RED).quantize(), "GIF", RED),
        (transparent("RGBA"), "PNG", WHITE),
        (transparent("RGBA"), "WEBP", WHITE),
        (transparent("LA"), "PNG", WHITE),
        (transparent("P"), "PNG", WHITE),
        (Image.new("RGBA", (4, 4), (255, 0, 0, 128)), "PNG", (255, 127, 127)),
        (grey(0x8000, "I;16"), "PNG", (128, 128, 128)),
        (grey(40, "I;16"), "PNG", (10, 10, 10)),
        (grey(0x8000, "I;16"), "TIFF", (128, 128, 128)),
        (grey(0.5, "F"), "TIFF", (128, 128, 128)),
        (grey(float("nan"), "F"), "TIFF", (0, 0, 0)),
        (grey(65535, "I"), "TIFF", WHITE),
        (Image.new("LAB", (4, 4), (255, 128, 128)), "TIFF", WHITE),
        (Image.new("RGB", (4, 4), BLUE), "BMP", BLUE),
        (Image.new("RGB", (4, 4), BLUE), "PPM", BLUE),
        (Image.new("RGB", (4, 4), BLUE), "TGA", BLUE),
    ],
)
def test_every_kind_of_pixel_becomes_srgb(image, file_format, expected):
    decoded = decode(encode(image, file_format), "." + file_format.lower(), LOADERS)
    assert decoded.pixels.dtype == np.uint8
    assert decoded.pixels.shape == (4, 4, 3)
    assert tuple(map(int, decoded.pixels[0, 0])) == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_greys_of_any_number_of_bits_in_sixteen_go_from_black_to_white(bits, file_format):
    ramp = np.linspace(0, 2**bits - 1, 256).astype(np.uint16).reshape(16, 16)
    decoded = decode(encode(Image.fromarray(ramp), file_format), "." + file_format.lower(), LOADERS)
    assert decoded.pixels[..., 0].reshape(-1) == pytest.approx(np.arange(256), abs=1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.0, 0.5, 1.0), (0, 128, 255)),
        ((-2.0, 0.0, 2.0), (0, 128, 255)),
        ((0.0, 2.0, 4000.0), (0, 0, 249)),
        ((0.0, 100_000.0, 200_000.0), (0, 128, 255)),
        ((float("inf"), 0.0, 1.0), (0, 0, 255)),
    ],
)
def test_floats_are_scaled_to_what_they_hold(values, expected):
    decoded = decode(encode(Image.fromarray(np.array([values], np.float32)), "TIFF"), ".tiff", LOADERS)
    assert tuple(map(int, decoded.pixels[0, :, 0])) == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("at", [0.2, 0.5, 0.9])
def test_a_png_with_a_flipped_byte_is_damaged(at):
    noise = np.random.default_rng(1).integers(0, 256, (60, 80, 3), np.uint8)
    data = bytearray(encode(Image.fromarray(noise), "PNG"))
    data[int(at * len(data))] ^= 0x55
    with pytest.raises(ImageUnreadable, match="the image is damaged: "):
        decode(bytes(data), ".png", LOADERS)


def test_a_cmyk_jpeg_keeps_its_colours():
    decoded = decode(encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"), ".jpg", LOADERS)
    assert tuple(map(int, decoded.pixels[4, 4])) == pytest.approx(RED, abs=4)


def linear_profile():
    """Build a profile with sRGB's primaries but light-linear values.

    Source: https://www.color.org/specification/ICC.1-2022-05.pdf, 7.2 (header), 8.3 (three-component matrix profiles)
    """

    def xyz(*values):
        return b"XYZ " + bytes(4) + b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    curve = b"curv" + bytes(4) + struct.pack(">I", 0)
    description = b"desc" + bytes(4) + struct.pack(">I", 7) + b"linear\0" + bytes(79)
    tags = {
        b"desc": description,
        b"cprt": b"text" + bytes(4) + b"none\0" + bytes(3),
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(0.4361, 0.2225, 0.0139),
        b"gXYZ": xyz(0.3851, 0.7169, 0.0971),
        b"bXYZ": xyz(0.1431, 0.0606, 0.7141),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    table, body, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">II", start + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    header = struct.pack(">I4sI", start + len(body), b"test", 0x02400000) + b"mntrRGB XYZ " + bytes(12)
    header += b"acsp" + bytes(28) + xyz(0.9642, 1.0, 0.8249)[8:] + bytes(48)
    return header + table + body


def test_an_embedded_profile_is_applied():
    data = encode(Image.new("RGB", (4, 4), (128, 128, 128)), "PNG", icc_profile=linear_profile())
    assert tuple(map(int, decode(data, ".png", LOADERS).pixels[0, 0])) == pytest.approx((188, 188, 188), abs=1)


@pytest.mark.parametrize("profile", [b"junk" * 50, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()])
def test_a_profile_that_does_not_fit_costs_nothing(profile):
    data = encode(picture(), "PNG", icc_profile=profile)
    assert np.array_equal(decode(data, ".png", LOADERS).pixels, quadrants())


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_gives_its_first_frame(file_format):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN, BLUE)]
    data = encode(frames[0], file_format, save_all=True, append_images=frames[1:])
    assert tuple(map(int, decode(data, ".gif", LOADERS).pixels[0, 0])) == pytest.approx(RED, abs=3)


def test_a_wrong_suffix_does_not_matter():
    assert decode(encode(picture(), "PNG"), ".heic", LOADERS).format == "PNG"
    assert decode(encode(picture(), "WEBP"), ".jpg", LOADERS).format == "WEBP"
    assert decode(encode(picture(), "AVIF"), ".jpg", LOADERS).format == "AVIF"


def bomb(width, height):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


def test_a_decompression_bomb_is_refused_by_its_header():
    with pytest.raises(ImageTooLarge, match="50000 x 50000 pixels; at most 200 megapixels are decoded"):
        decode(bomb(50_000, 50_000), ".png", LOADERS)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF", "JPEG2000"])
def test_a_truncated_file_is_unreadable(file_format):
    noise = Image.fromarray(np.random.default_rng(7).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encode(noise, file_format)
    with pytest.raises(ImageUnreadable):
        decode(data[: len(data) // 2], ".jpg", LOADERS)


@pytest.mark.parametrize(
    ("data", "suffix", "error", "message"),
    [
        (b"", ".jpg", ImageUnreadable, "the file is empty"),
        (b"Dear diary", ".jpg", ImageUnreadable, "the file does not hold an image"),
        (b"\xff\xd8\xff\xe0" + bytes(40), ".jpg", ImageUnreadable, "the file does not hold an image"),
        (b"II*\x00" + bytes(40), ".nef", ImageUnsupported, "no image loader reads such a file (`.nef`)"),
        (b"<svg/>", ".svg", ImageUnsupported, "no image loader reads such a file (`.svg`)"),
    ],
)
def test_what_is_no_image_is_said_in_words(data, suffix, error, message):
    with pytest.raises(error) as caught:
        decode(data, suffix, LOADERS)
    assert caught.value.message == message


def heic_header():
    return b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(64)


@pytest.mark.parametrize("suffix", [".heic", ".jpg", ".HEIF"])
def test_a_heic_without_the_extra_names_the_line_that_installs_it(suffix, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # makes the import fail as on a machine without it
    with pytest.raises(ImageUnsupported) as caught:
        decode(heic_header(), suffix, LOADERS)
    assert caught.value.message == "reading HEIC needs the package `pillow-heif`"
    assert caught.value.hint == "run `pip install 'olpipe[heif]'`"


def test_a_heic_is_read_where_the_extra_is_installed():
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra `heif` is not installed")
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.fromarray(np.ascontiguousarray(np.rot90(quadrants(96, 64), 1)))
    pillow_heif.from_pillow(stored).save(buffer, quality=90, exif=exif.tobytes())
    image = decode(buffer.getvalue(), ".heic", LOADERS)
    assert (image.width, image.height, image.format) == (96, 64, "HEIF")
    assert corners(image.pixels) == "RGBW"
    with pytest.raises(ImageUnreadable):
        decode(buffer.getvalue()[:300], ".heic", LOADERS)
    with pytest.raises(ImageTooLarge, match="96 x 64 pixels"):
        decode(buffer.getvalue(), ".heic", LOADERS, refuse_pixels=1000)


def test_loading_a_file_names_it_in_the_message(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(ImageUnreadable) as caught:
        load(tmp_path / "a.jpg", LOADERS)
    assert caught.value.message == f"`{tmp_path}/a.jpg`: the file is empty"
    with pytest.raises(ImageUnreadable, match=r"`.*b\.jpg` cannot be opened: No such file or directory"):
        load(tmp_path / "b.jpg", LOADERS)
