"""Cut images into the patches that the vision encoders of Qwen see, and say where the patches stand.

A *cell* is a square of `merge * merge` patches. It becomes one token. Patches are ordered cell by cell: the patches of
a cell stand behind each other, row by row, and so do the cells of the image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from olpipe.imaging.fitting import Resampling, resized
from olpipe.interfaces.vision import Fitted, VisionConfig

if TYPE_CHECKING:
    import numpy.typing as npt

    from olpipe.convert.floats import Floats

_ROTARY_BASE = 10000.0


def fit_cells(config: VisionConfig, width: int, height: int, tokens: int) -> Fitted:
    """Choose a size of whole cells that keeps the proportions of an image as well as it can.

    The sides are rounded to whole cells. An image with too many pixels is scaled down, and one with too few is scaled
    up. The reference refuses an image with a side more than 200 times as long as the other. Here, the shorter side gets
    at least one cell, and the longer one no more cells than there are tokens. So the proportions of such an image
    change.
    Source: https://github.com/huggingface/transformers/blob/main/src/transformers/models/qwen2_vl/image_processing_qwen2_vl.py

    Args:
        config: The encoder, with the least and the most pixels that it takes.
        width: Pixels of the image.
        height: Pixels of the image.
        tokens: Most tokens. The image gets no more of them, even where the encoder's least pixels are more.
    """
    cell = config.patch_size * config.merge
    most = max(1, tokens) * cell**2
    most = min(most, max(config.most_pixels, cell**2)) if config.most_pixels else most
    least = min(config.least_pixels, most)
    # 1. The cells of both sides, as the reference computes them.
    rows, columns = round(height / cell), round(width / cell)
    if rows * columns * cell**2 < least:
        scale = math.sqrt(least / (height * width))
        rows, columns = math.ceil(height * scale / cell), math.ceil(width * scale / cell)
    if rows * columns * cell**2 > most:
        divisor = math.sqrt(height * width / most)
        rows, columns = math.floor(height / divisor / cell), math.floor(width / divisor / cell)
    # 2. At least one cell a side. Where this makes too many together, the longer side has no more than there may be.
    most_cells = most // cell**2
    rows, columns = min(max(1, rows), most_cells), min(max(1, columns), most_cells)
    return Fitted(columns * cell, rows * cell, columns=1, rows=1, tokens=rows * columns)


@dataclass(frozen=True, slots=True)
class Grid:
    """The cells and the patches of an image.

    Attributes:
        rows: How many cells are below each other.
        columns: How many cells are side by side.
        merge: How many patches of a cell are side by side, and how many below each other.
    """

    rows: int
    columns: int
    merge: int

    @classmethod
    def of(cls, config: VisionConfig, fitted: Fitted) -> Grid:
        """Return the grid of a fitted image."""
        cell = config.patch_size * config.merge
        return cls(fitted.height // cell, fitted.width // cell, config.merge)

    def patches(
        self,
        config: VisionConfig,
        pixels: npt.NDArray[np.uint8],
        fitted: Fitted,
        *,
        order: npt.NDArray[np.int64] | None = None,
    ) -> Floats:
        """Resize an image and cut it into patches: (patches, 3 * patch size * patch size).

        Inside a patch, red comes first, then green, then blue, and each of them row by row.

        Args:
            config: The encoder.
            pixels: The image, (H, W, 3).
            fitted: The size to give it.
            order: The numbers of the cells in the order to return them; None for their own order.
        """
        shown = resized(pixels, fitted.width, fitted.height, Resampling.BICUBIC)
        # 1. The patches are cut while a colour is one byte, because later there are four times as many bytes to move.
        merge, side = self.merge, config.patch_size
        # (cell rows, patch rows, pixel rows, cell columns, patch columns, pixel columns, 3)
        parts = shown.reshape(self.rows, merge, side, self.columns, merge, side, 3)
        cut = parts.transpose(0, 3, 1, 4, 6, 2, 5).reshape(self.rows * self.columns, -1)  # (cells, values of a cell)
        cut = cut if order is None else cut[order]
        # 2. The colours are normalised in place. At this size, new memory takes longer than the arithmetic.
        values = cut.reshape(-1, 3, side * side).astype(np.float32)  # (patches, 3, pixels of a patch)
        values *= (1 / (255 * np.array(config.std))).astype(np.float32)[:, None]
        values -= (np.array(config.mean) / config.std).astype(np.float32)[:, None]
        return values.reshape(len(values), -1)

    def places(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return in which row and in which column of patches each patch stands, (patches,) each."""
        rows = np.arange(self.rows * self.merge).reshape(self.rows, 1, self.merge, 1)
        columns = np.arange(self.columns * self.merge).reshape(1, self.columns, 1, self.merge)
        shape = (self.rows, self.columns, self.merge, self.merge)
        return np.broadcast_to(rows, shape).reshape(-1), np.broadcast_to(columns, shape).reshape(-1)

    def rotations(self, head_size: int) -> tuple[Floats, Floats]:
        """Return cosines and sines of the rotary embedding of each patch, (patches, head size / 2) each.

        Half of the angles grow with the row, and the other half with the column.
        """
        exponents = np.arange(0, head_size // 2, 2, dtype=np.float32) / np.float32(head_size // 2)
        frequencies = 1 / np.float32(_ROTARY_BASE) ** exponents  # (head size / 4,)
        places = np.arange(max(self.rows, self.columns) * self.merge, dtype=np.float32)
        angles = places[:, None] * frequencies  # (places, head size / 4)
        rows, columns = self.places()
        cosines, sines = np.cos(angles), np.sin(angles)
        return (
            np.concatenate([cosines[rows], cosines[columns]], axis=1),
            np.concatenate([sines[rows], sines[columns]], axis=1),
        )

    def positions(self) -> npt.NDArray[np.int64]:
        """Return the time, the row and the column of each token, (3, tokens). The time of a photo is 0."""
        rows, columns = np.indices((self.rows, self.columns)).reshape(2, -1)
        return np.stack([np.zeros_like(rows), rows, columns])


@dataclass(frozen=True, slots=True)
class Windows:
    """Cells in the order of windows. Windows at the right and at the lower edge of an image may be smaller.

    Attributes:
        order: The numbers of the cells, window by window, (cells,).
        members: Which patches are in each window, (windows, patches of a whole window), as places in this order. Places
            that a smaller window leaves empty hold 0.
        taken: Where there is a patch and no empty place, in the shape of `members`.
    """

    order: npt.NDArray[np.int64]
    members: npt.NDArray[np.int64]
    taken: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, grid: Grid, side: int) -> Windows:
        """Divide the cells of a grid into windows.

        Args:
            grid: The cells.
            side: How many cells of a window are side by side, and how many below each other.
        """
        # 1. The cells, sorted by their windows. Inside a window they keep the order that they have in the image.
        _, rows, columns = grid.positions()
        window = rows // side * -(-grid.columns // side) + columns // side  # (cells,)
        order = np.argsort(window, kind="stable")
        # 2. Each window's patches stand behind each other from its start on.
        patches = np.bincount(window) * grid.merge**2  # (windows,)
        starts = np.cumsum(patches) - patches
        places = np.arange((side * grid.merge) ** 2)
        taken = places < patches[:, None]
        return cls(order, np.where(taken, starts[:, None] + places, 0), taken)

    @property
    def places(self) -> npt.NDArray[np.int64]:
        """For each patch its place among those of all windows, empty ones included; (patches,)."""
        return np.flatnonzero(self.taken)

    @property
    def inverse(self) -> npt.NDArray[np.int64]:
        """For each cell of the image its place in the order of the windows; (cells,)."""
        return np.argsort(self.order)
