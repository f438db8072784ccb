"""The perceiver `ocr` reads texts that are drawn here, and nothing in photos without words."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from olpipe.image import Box, DecodedImage
from olpipe.record import ReadText
from olpipe.testing.contracts import PerceiverContract, PluginContract

SAMPLES = Path(__file__).parents[3] / "samples" / "photos"
WITHOUT_WORDS = ("astronaut.jpg", "bricks.jpg", "cat.jpg", "clock.jpg", "coffee.jpg", "flower.jpg")
CHINESE_FONT = Path("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc")

SIGN = ("NO PARKING", "Monday to Friday", "8:00 - 18:30")
RECEIPT = ("Corner Shop", "2 x Milk 1.98", "Bread 3.20", "TOTAL EUR 5.18", "Thank you!")
SCREEN = ("File not found: report.pdf", "Open another file", "Cancel")


@pytest.fixture(scope="module")
def reader():
    from olpipe_ocr.perceiver import WordReader

    return WordReader()


def drawn(lines, *, size=36, font=None, colours=("black", "white"), margin=30):
    """Return a picture of lines of text."""
    letters = ImageFont.load_default(size) if font is None else ImageFont.truetype(str(font), size)
    picture = Image.new("RGB", (900, 2 * margin + 2 * size * len(lines)), colours[1])
    for at, line in enumerate(lines):
        ImageDraw.Draw(picture).text((margin, margin + 2 * size * at), line, font=letters, fill=colours[0])
    return picture


def decoded(picture):
    return DecodedImage(np.array(picture), *picture.size)


def read(reader, picture):
    return [text.text for text in reader.perceive(decoded(picture)).texts]


class TestPlugin(PluginContract):
    module = "olpipe_ocr"


@pytest.mark.slow  # it reads dozens of pictures
class TestWordReader(PerceiverContract):
    seen = SIGN

    @pytest.fixture
    def perceiver(self, reader):
        return reader

    @pytest.fixture
    def photo(self):
        return decoded(drawn(SIGN))


@pytest.mark.parametrize("lines", [SIGN, RECEIPT, SCREEN], ids=["sign", "receipt", "screen"])
def test_lines_are_read_as_they_are_written_from_top_to_bottom(reader, lines):
    assert read(reader, drawn(lines)) == list(lines)


@pytest.mark.slow
@pytest.mark.parametrize("lines", [SIGN, RECEIPT, SCREEN], ids=["sign", "receipt", "screen"])
@pytest.mark.parametrize("size", [20, 36])
@pytest.mark.parametrize("colours", [("black", "white"), ("#f0f0f0", "#103060")], ids=["dark", "light"])
def test_small_and_light_letters_are_read_too(reader, lines, size, colours):
    assert read(reader, drawn(lines, size=size, colours=colours)) == list(lines)


@pytest.mark.skipif(not CHINESE_FONT.is_file(), reason="the font fonts-wqy-microhei is not installed")
@pytest.mark.parametrize("lines", [("营业时间", "周一至周五", "请勿停车"), ("小心地滑", "出口在左边")])
def test_chinese_is_read(reader, lines):
    assert read(reader, drawn(lines, font=CHINESE_FONT)) == list(lines)


def test_two_columns_are_read_line_by_line(reader):
    picture = Image.new("RGB", (900, 260), "white")
    for x, y, text in ((30, 30, "Coffee"), (600, 34, "2.50"), (30, 130, "Cake"), (600, 128, "3.80")):
        ImageDraw.Draw(picture).text((x, y), text, font=ImageFont.load_default(36), fill="black")
    assert read(reader, picture) == ["Coffee", "2.50", "Cake", "3.80"]


@pytest.mark.slow
@pytest.mark.parametrize("name", WITHOUT_WORDS)
def test_nothing_is_read_where_nothing_is_written(reader, name):
    assert read(reader, Image.open(SAMPLES / name).convert("RGB")) == []


def test_boxes_lie_around_the_words(reader):
    found = reader.perceive(decoded(drawn(SIGN))).texts
    for at, text in enumerate(found):
        middle = 30 + 72 * at + 18
        assert text.box.y < middle < text.box.y + text.box.h
        assert abs(text.box.x - 30) < 12


def test_the_runtime_is_loaded_with_the_first_photo_only(installed, tmp_path):
    import subprocess
    import sys

    code = "import sys, olpipe_ocr; print([name for name in ('rapidocr', 'cv2', 'onnxruntime') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_order_of_reading_does_not_depend_on_the_order_of_finding(order):
    from olpipe_ocr.lines import in_reading_order

    texts = [
        ReadText("left", 1.0, Box(0, 12, 50, 20)), ReadText("right", 1.0, Box(80, 8, 50, 24)),
        ReadText("below", 1.0, Box(0, 40, 50, 20)),
    ]  # fmt: skip
    assert [text.text for text in in_reading_order([texts[at] for at in order])] == ["left", "right", "below"]
    assert replace(texts[0], box=None) in in_reading_order([replace(texts[0], box=None)])
