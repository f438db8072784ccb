"""Find things and their places in a photo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from olpipe.image import Box, DecodedImage
from olpipe.perception.nms import suppress
from olpipe.perception.pixels import letterbox
from olpipe.record import Detection
from olpipe.sessions import open_session

SMALLEST_SIDE = 2
"""Boxes that are thinner than this many pixels are left out."""


class Detector:
    """A detection network in one ONNX file.

    It takes `image` (1, S, S, 3), float32 RGB 0..255: the photo, centred on a grey square. It returns `detections`
    (1, K, 6): x1, y1, x2, y2 as shares of the square's side, score, class. Thread-safe.
    """

    def __init__(self, path: Path, labels: Sequence[str], *, threads: int = 1) -> None:
        """Load the network.

        Args:
            path: The ONNX file.
            labels: Names of the classes, in order.
            threads: CPU threads for one photo.

        Raises:
            BackendMissing: ONNX Runtime is not installed.
        """
        self._session = open_session(path, threads=threads)
        self._side: int = self._session.get_inputs()[0].shape[1]
        self._labels = tuple(labels)

    def detect(
        self, image: DecodedImage, *, min_score: float, max_overlap: float, max_overlap_any: float = 1.0
    ) -> tuple[Detection, ...]:
        """Return what is in the photo, the surest first; boxes lie inside the original.

        Args:
            image: The photo.
            min_score: Detections with a lower score are left out.
            max_overlap: Most intersection over union of two boxes of one class.
            max_overlap_any: The same for two boxes of any classes.
        """
        # 1. Run the network on the photo, centred on a grey square
        pixels = letterbox(image.pixels, self._side)  # (S, S, 3)
        found = self._session.run(["detections"], {"image": pixels[None]})[0][0]  # (K, 6)
        # 2. Keep detections that are sure enough, and only one where several mean the same thing
        found = found[found[:, 4] >= min_score]
        classes = found[:, 5].astype(np.int64)  # (K,)
        detections = []
        kept = suppress(found[:, :4], found[:, 4], classes, max_overlap=max_overlap, max_overlap_any=max_overlap_any)
        # 3. Turn corners on the square into boxes on the original
        for index in kept:
            box = to_box(found[index, :4], image.width, image.height)
            if box is not None:
                detections.append(Detection(self._labels[classes[index]], float(found[index, 4]), box))
        return tuple(detections)


def to_box(corners: npt.NDArray[np.floating], width: int, height: int) -> Box | None:
    """Turn corners on the grey square into a box in whole pixels inside the image; None when too little is left.

    Args:
        corners: (4,), x1, y1, x2, y2 as shares of the square's side.
        width: Width of the original in pixels.
        height: Height of the original in pixels.
    """
    side = max(width, height)
    margins = np.array([side - width, side - height] * 2) / 2  # (4,), the grey left of the image and above it
    limits = np.array([width, height] * 2)  # (4,)
    x1, y1, x2, y2 = np.rint(np.clip(corners * side - margins, 0, limits)).astype(int).tolist()
    if x2 - x1 < SMALLEST_SIDE or y2 - y1 < SMALLEST_SIDE:
        return None
    return Box(x1, y1, x2 - x1, y2 - y1)
