"""Where the weights lie, and their digests.

`conversion/convert.py` made the detector and the classifier. `training/train.py` made the adapter of the language
model.
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


DETECTOR = Network("detector.onnx", "58226b92d6cac4a25424a91d9090a017cb8465a63b953deddd576784f030e3cd")
CLASSIFIER = Network("classifier.onnx", "238a671f77ee1ebeb621503a1c3cb96d5cd923866a28b4c20db46d44905ad41a")
ADAPTER = Network("adapter.safetensors", "f6599aad35fea4adef3680d8a8b51e9714983da7e753d7f41a57a299a70ecb34")
