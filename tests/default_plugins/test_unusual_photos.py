"""Photos that viewers show although something about them is unusual: cut off, deep, transparent, beginning in black."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageDraw

from olpipe.default_plugins.loaders.pillow import PillowLoader
from olpipe.errors import ImageUnreadable, ImageUnsupported
from olpipe.imaging.decode import decode
from olpipe.testing.images import RED

LOADERS = (PillowLoader(),)


def encode(image, file_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def pixels(data, suffix=".jpg", **options):
    return decode(data, suffix, LOADERS, **options).pixels.astype(int)


# --- the end of the file is missing ---------------------------------------------------------------------------------


def scene(width, height, mode="RGB"):
    """Circles on a slope with some noise: nothing in it is flat."""
    down, across = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(3).integers(0, 40, (height, width))
    channels = [40 + 150 * across // width + noise, 30 + 180 * down // height, 200 - noise]
    image = Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))
    for size in range(10, min(width, height), 40):
        ImageDraw.Draw(image).ellipse((size, size // 2, 2 * size, size), outline=(250, size % 256, 20), width=3)
    return image.convert(mode)


KINDS = [
    {},
    {"progressive": True},
    {"quality": 95, "subsampling": 0},
    {"quality": 50, "subsampling": 2},
    {"progressive": True, "quality": 90, "subsampling": 0},
    {"restart_marker_rows": 1},
]


@pytest.mark.examples(8)
@pytest.mark.parametrize("options", KINDS, ids=str)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("size", [(320, 240), (601, 397)])
def test_a_jpeg_that_lacks_its_last_bytes_is_the_same_picture_but_for_a_block(size, mode, options):
    data = encode(scene(*size, mode), "JPEG", **options)
    whole = pixels(data)
    for cut in (1, 2, 3, 5, 17):
        for filling in (b"", bytes(40)) if cut > 3 else (b"",):
            differs = np.abs(pixels(data[:-cut] + filling) - whole).max(axis=2) > 40
            assert differs.mean() < 0.02, (cut, filling)


@pytest.mark.examples(8)
@pytest.mark.parametrize("options", KINDS, ids=str)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("size", [(320, 240), (601, 397)])
def test_a_jpeg_of_any_length_is_a_failure_or_nearly_the_whole_picture(size, mode, options):
    data = encode(scene(*size, mode), "JPEG", **options)
    whole = pixels(data)
    failed = False
    for cut in np.geomspace(1, len(data) / 2, 16).astype(int):
        try:
            differs = np.abs(pixels(data[:-cut]) - whole).max(axis=2) > 40
        except ImageUnreadable:
            failed = True
        else:
            assert differs.mean() < 0.03, cut
    # Half of the file is not enough, unless it holds all of a progressive picture but its finest shades
    assert failed or options.get("progressive")


@pytest.mark.parametrize("share", [0.5, 0.8, 0.9, 0.95])
def test_a_jpeg_without_a_visible_part_is_told_to_end_early(share):
    data = encode(scene(600, 400), "JPEG")
    with pytest.raises(ImageUnreadable) as caught:
        pixels(data[: int(share * len(data))])
    assert caught.value.message == "the file ends early, and a part of the picture is missing"


@pytest.mark.parametrize("sizes", [(600 * 400,), (300 * 200,), (75 * 50,)])
def test_a_cut_jpeg_is_judged_at_every_size_that_it_is_decoded_to(sizes):
    data = encode(scene(600, 400), "JPEG")
    assert np.abs(pixels(data[:-17], sizes=sizes) - pixels(data, sizes=sizes)).mean() < 1
    with pytest.raises(ImageUnreadable, match="ends early"):
        pixels(data[: len(data) * 9 // 10], sizes=sizes)


def test_a_cut_jpeg_keeps_its_orientation_and_its_size():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = decode(encode(scene(600, 400), "JPEG", exif=exif)[:-2], ".jpg", LOADERS)
    assert (image.width, image.height, image.orientation, image.format) == (400, 600, 6, "JPEG")


def test_a_jpeg_that_ends_in_its_header_is_damaged():
    data = encode(scene(600, 400), "JPEG")
    with pytest.raises(ImageUnreadable):
        pixels(data[:300])


# --- more than eight bits a channel ---------------------------------------------------------------------------------


def deep_png(values):
    """Write an array of uint16, (H, W, 2 to 4), as a PNG file."""
    height, width, channels = values.shape
    rows = values.astype(">u2").reshape(height, -1)
    body = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(body)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def deep_tiff(values, *, order="<", compressed=False):
    """Write an array of uint16, (H, W, 3 or 4), as a TIFF file with one strip."""
    height, width, channels = values.shape
    strip = values.astype(f"{order}u2").tobytes()
    strip = zlib.compress(strip) if compressed else strip
    bits_at = 8 + len(strip) + len(strip) % 2
    fields = [
        *((256, 3, 1, width), (257, 3, 1, height), (258, 3, channels, bits_at), (259, 3, 1, 8 if compressed else 1)),
        *((262, 3, 1, 2), (273, 4, 1, 8), (277, 3, 1, channels), (278, 3, 1, height), (279, 4, 1, len(strip))),
        *(((338, 3, 1, 2),) if channels == 4 else ()),
    ]
    table = struct.pack(f"{order}H", len(fields))
    for tag, kind, count, value in fields:
        short = kind == 3 and count == 1
        table += struct.pack(f"{order}HHI", tag, kind, count)
        table += struct.pack(f"{order}HH", value, 0) if short else struct.pack(f"{order}I", value)
    bits = struct.pack(f"{order}{channels}H", *[16] * channels)
    start = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, bits_at + len(bits))
    return start + strip + bytes(len(strip) % 2) + bits + table + bytes(4)


FILES = {
    "PNG": deep_png,
    "TIFF, little-endian": deep_tiff,
    "TIFF, big-endian": lambda values: deep_tiff(values, order=">"),
    "TIFF, compressed": lambda values: deep_tiff(values, compressed=True),
}


def ramp(bits, channels=3):
    """Return colours from black to white, (16, 32, channels), in which each channel goes its own way."""
    steps = np.linspace(0, 2**bits - 1, 512).round().astype(np.uint16)
    return np.stack([steps, steps[::-1], np.roll(steps, 99), steps][:channels], axis=-1).reshape(16, 32, channels)


@pytest.mark.parametrize("write", FILES.values(), ids=FILES)
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_colours_of_any_number_of_bits_in_sixteen_go_from_black_to_white(bits, write):
    assert pixels(write(ramp(bits)), ".png") == pytest.approx(ramp(bits) * (255 / (2**bits - 1)), abs=1)


@pytest.mark.parametrize("write", FILES.values(), ids=FILES)
@pytest.mark.parametrize("opaque", [4095, 65535])
def test_transparency_has_bits_of_its_own(opaque, write):
    values = np.concatenate([ramp(12), np.full((16, 32, 1), opaque, np.uint16)], axis=-1)
    assert pixels(write(values), ".png") == pytest.approx(ramp(12) * (255 / 4095), abs=1)


@pytest.mark.parametrize("opaque", [4095, 65535])
def test_greys_with_transparency_are_scaled_too(opaque):
    grey = ramp(12)[..., :1]
    values = np.concatenate([grey, np.full_like(grey, opaque)], axis=-1)
    assert pixels(deep_png(values), ".png") == pytest.approx(np.repeat(grey, 3, -1) * (255 / 4095), abs=1)


def test_colours_that_are_black_stay_black():
    assert not pixels(deep_png(np.zeros((4, 4, 3), np.uint16)), ".png").any()


def test_deep_colours_that_cannot_be_read_in_full_are_told():
    data = bytearray(deep_tiff(np.full((4, 4, 4), (900, 900, 900, 65535), np.uint16)))
    at = data.index(struct.pack("<HHI", 338, 3, 1)) + 8
    data[at] = 1  # the colours are multiplied by the transparency
    with pytest.raises(ImageUnsupported) as caught:
        pixels(bytes(data), ".tif")
    assert caught.value.message == "the image has 16 bits a channel and uses only the lower ones"
    assert caught.value.hint == "save it with 8 bits a channel"


# --- transparency ---------------------------------------------------------------------------------------------------


def drawing(colour, background=(0, 0, 0, 0)):
    image = Image.new("RGBA", (40, 30), background)
    ImageDraw.Draw(image).rectangle((10, 10, 29, 19), fill=colour)
    return image


@pytest.mark.parametrize("colour", [(255, 255, 255, 255), (240, 245, 250, 255), (255, 255, 255, 120)])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_a_white_drawing_on_a_transparent_ground_is_seen(file_format, mode, colour):
    found = pixels(encode(drawing(colour).convert(mode), file_format, lossless=True), ".png")
    assert found[2, 2].tolist() == [128, 128, 128]
    assert found[15, 20].min() > 180


@pytest.mark.parametrize(
    "image",
    [
        drawing((0, 0, 0, 255)),
        drawing((220, 220, 220, 255)),
        drawing((255, 200, 0, 255)),
        drawing((0, 0, 0, 60)),
        drawing((255, 255, 255, 0)),
    ],
)
def test_any_other_drawing_stands_on_white(image):
    assert pixels(encode(image, "PNG"), ".png")[2, 2].tolist() == [255, 255, 255]


def test_a_white_cup_with_shades_stands_on_white():
    image = drawing((255, 255, 255, 255))
    ImageDraw.Draw(image).rectangle((10, 18, 29, 19), fill=(190, 190, 190, 255))
    assert pixels(encode(image, "PNG"), ".png")[2, 2].tolist() == [255, 255, 255]


def test_a_white_page_that_hides_nothing_stays_white():
    assert pixels(encode(Image.new("RGBA", (8, 8), "white"), "PNG"), ".png").min() == 255


# --- animations -----------------------------------------------------------------------------------------------------


def animation(file_format, *frames):
    return encode(frames[0], file_format, save_all=True, append_images=frames[1:], duration=100, lossless=True)


BLACK, GREY = Image.new("RGB", (32, 24)), Image.new("RGB", (32, 24), (90, 90, 90))
PICTURE = Image.new("RGB", (32, 24), (20, 20, 60))
PICTURE.paste((255, 0, 0), (8, 8, 24, 16))


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG"])
@pytest.mark.parametrize("before", [[BLACK], [BLACK, GREY]])
def test_an_animation_that_begins_in_black_gives_its_first_frame_that_is_not_flat(file_format, before):
    found = decode(animation(file_format, *before, PICTURE, GREY), ".gif", LOADERS)
    assert found.pixels[12, 16].tolist() == pytest.approx(RED, abs=6)
    assert (found.width, found.height, found.format) == (32, 24, file_format)


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG"])
def test_an_animation_of_flat_frames_gives_the_first(file_format):
    assert pixels(animation(file_format, BLACK, GREY), ".gif").max() == 0
    assert pixels(animation(file_format, GREY, PICTURE), ".gif")[12, 16].tolist() == pytest.approx([90] * 3, abs=3)


def test_an_animation_whose_later_frames_are_damaged_gives_the_first():
    data = animation("GIF", BLACK, PICTURE)
    assert pixels(data[:-20], ".gif").max() == 0


def test_the_pages_of_a_document_are_no_animation():
    assert pixels(encode(BLACK, "TIFF", save_all=True, append_images=[PICTURE]), ".tif").max() == 0
