"""The perceiver `colours`: which colours fill a photo, and whether it is bright or dark."""

from __future__ import annotations

from olpipe.image import DecodedImage
from olpipe.interfaces import Perceiver
from olpipe.record import Evidence, Label

# Colours as people name them, in sRGB
PALETTE = {
    "black": (0, 0, 0),
    "grey": (128, 128, 128),
    "white": (255, 255, 255),
    "red": (220, 30, 30),
    "orange": (245, 140, 30),
    "yellow": (245, 225, 50),
    "green": (40, 160, 60),
    "blue": (40, 90, 200),
    "purple": (130, 50, 160),
    "pink": (245, 150, 190),
    "brown": (120, 75, 40),
}
LEAST_SHARE = 0.2
"""A colour that fills less of the photo than this is not worth a tag."""

DARK, BRIGHT = 0.25, 0.75
MOST_SAMPLES_A_SIDE = 128
LUMA = (0.2126, 0.7152, 0.0722)
"""Weights of red, green and blue in brightness (ITU-R BT.709)."""


class Colours(Perceiver):
    """Names each sampled pixel's nearest colour. Keeps no state, so threads may share it."""

    name = "colours"
    version = "1"

    def perceive(self, image: DecodedImage) -> Evidence:
        """Return the colours with their share of the photo, and `dark` or `bright` where it is one of these."""
        import numpy as np

        step = -(-max(image.pixels.shape[:2]) // MOST_SAMPLES_A_SIDE)
        samples = image.pixels[::step, ::step].reshape(-1, 3).astype(np.float32)  # (N, 3)
        palette = np.array(list(PALETTE.values()), np.float32)  # (C, 3)
        distances = ((samples[:, None] - palette) ** 2).sum(axis=2)  # (N, C)
        shares = np.bincount(distances.argmin(axis=1), minlength=len(palette)) / len(samples)
        labels = [Label(name, float(share)) for name, share in zip(PALETTE, shares, strict=True)]
        brightness = float((samples @ np.array(LUMA, np.float32)).mean()) / 255
        labels = [label for label in labels if label.score >= LEAST_SHARE] + _brightness(min(1.0, brightness))
        return Evidence(tags=tuple(sorted(labels, key=lambda label: (-label.score, label.name))))


def _brightness(value: float) -> list[Label]:
    if value < DARK:
        return [Label("dark", 1 - value)]
    return [Label("bright", value)] if value > BRIGHT else []
