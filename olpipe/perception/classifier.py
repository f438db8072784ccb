"""Say what kind of thing a picture shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from olpipe.perception.pixels import square
from olpipe.sessions import open_session


class Classifier:
    """A classification network in one ONNX file.

    It takes `image` (N, S, S, 3), float32 RGB 0..255, and returns `probabilities` (N, classes).
    Thread-safe.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        """Load the network.

        Raises:
            BackendMissing: ONNX Runtime is not installed.
        """
        self._session = open_session(path, threads=threads)
        self._side: int = self._session.get_inputs()[0].shape[1]

    def classify(self, pictures: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
        """Return the probability of each class for each picture, (N, classes).

        Args:
            pictures: (H, W, 3) each, of any sizes; at least one.
        """
        batch = np.stack([square(picture, self._side) for picture in pictures])  # (N, S, S, 3)
        probabilities: npt.NDArray[np.float32] = self._session.run(["probabilities"], {"image": batch})[0]
        return probabilities
