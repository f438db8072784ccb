"""Read the words in a photo with RapidOCR, which brings small models of PP-OCR for Chinese and English.

Every command that loads plugins imports this module, so what is heavy is imported when the first photo is read.
"""

from __future__ import annotations

import threading
from typing import Any

from olpipe import machine
from olpipe.errors import BackendMissing
from olpipe.image import Box, DecodedImage
from olpipe.interfaces import Perceiver
from olpipe.record import Evidence, ReadText
from olpipe_ocr.lines import in_reading_order

SUREST = 0.8
"""Words with a lower score are left out."""

SUREST_ALONE = 0.95
"""The same for a single letter or digit. Round and straight shapes are often taken for one."""


class WordReader(Perceiver):
    """Finds lines of text, and reads them."""

    name = "ocr"
    version = "1"
    reads = True
    fit_pixels = 2 * 1024 * 1024
    """Small print needs more pixels than things do."""

    def __init__(self) -> None:
        """Load nothing yet."""
        self._reader: Any = None
        self._lock = threading.Lock()  # RapidOCR changes its own settings while it reads

    def perceive(self, image: DecodedImage) -> Evidence:
        """Return the words in the order in which people read them, each line by itself, with its box.

        Raises:
            BackendMissing: RapidOCR or ONNX Runtime is not installed.
        """
        with self._lock:
            if self._reader is None:
                self._reader = _open()
            found = self._reader(image.pixels[:, :, ::-1].copy())  # it takes blue, green and red, in this order
        if found.txts is None:
            return Evidence()
        height, width, _ = image.pixels.shape
        scale = image.width / width, image.height / height
        texts = [
            ReadText(text, min(float(score), 1.0), _box(corners, scale, image))
            for text, score, corners in zip(map(str.strip, found.txts), found.scores, found.boxes, strict=True)
            if text and score >= (SUREST_ALONE if len(text) == 1 else SUREST)
        ]
        return Evidence(texts=tuple(in_reading_order(texts)))


def _open() -> Any:
    """Load the models.

    Raises:
        BackendMissing: RapidOCR or ONNX Runtime is not installed.
    """
    try:
        from rapidocr import RapidOCR
    except ImportError as error:
        raise BackendMissing(
            f"the words in photos cannot be read: {error}", hint="run `pip install rapidocr`"
        ) from error
    threads = machine.threads(machine.cores())
    return RapidOCR(params={"Global.log_level": "error", "EngineConfig.onnxruntime.intra_op_num_threads": threads})


def _box(corners: Any, scale: tuple[float, float], image: DecodedImage) -> Box:
    """Return the upright box around four corners, in pixels of the original.

    Args:
        corners: (4, 2), x and y of each, in the pixels that were read.
        scale: How many pixels of the original one of these pixels is, across and down.
        image: The photo.
    """
    xs, ys = (sorted(float(corner[axis]) * scale[axis] for corner in corners) for axis in (0, 1))
    left, right = (min(max(round(x), 0), image.width) for x in (xs[0], xs[-1]))
    top, bottom = (min(max(round(y), 0), image.height) for y in (ys[0], ys[-1]))
    left, top = min(left, image.width - 1), min(top, image.height - 1)
    return Box(left, top, max(1, right - left), max(1, bottom - top))
