"""Where the networks lie, and what they must be.

`conversion/convert.py` made the two networks that look, `training/train.py` the adapter of the one that writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).with_name("data")


@dataclass(frozen=True, slots=True)
class Network:
    """One file of weights in this package.

    Attributes:
        file: Its name.
        sha256: Hex digest of its bytes.
    """

    file: str
    sha256: str

    @property
    def path(self) -> Path:
        """Where it lies."""
        return DATA / self.file


DETECTOR = Network("detector.onnx", "abb30de5f8f312f5af98a7c014b2024ecdcf3c967df3b27d623bc8c6fa7935c3")
CLASSIFIER = Network("classifier.onnx", "238a671f77ee1ebeb621503a1c3cb96d5cd923866a28b4c20db46d44905ad41a")
ADAPTER = Network("adapter.safetensors", "ddbbe4ade2e7cc571a82a4d9781db05213c394f27eb8744a9f0f3d602d8c41ad")
