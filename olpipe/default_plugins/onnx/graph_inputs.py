"""Make the inputs of a decoder's graph, besides tokens and KV cache: positions, features of images, who sees whom.

Which of them a graph has depends on the model. So they are looked up in the session.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from olpipe.convert.architectures import BIASES, DEEPSTACK, FEATURE_ROWS, FEATURES, POSITIONS
from olpipe.decoding.prompt import PlacedImage, Prompt

Inputs: TypeAlias = Mapping[str, npt.NDArray[np.generic]]

CLOSED = np.float32(-1e30)
"""The bias of a token that must not be seen. It is finite, because sums of infinite biases are not numbers."""

PIECE = 1024
"""Most tokens of a forward where biases say which tokens attend to which. They grow with the square of the length."""

BLOCK = 16
"""The attention operator takes the tokens of a forward in blocks of some multiple of this many.

How many depends on the size of a head and on the processor. A last block of a single token may be rounded differently.
Source: https://github.com/microsoft/onnxruntime/blob/main/onnxruntime/contrib_ops/cpu/bert/multihead_attention.cc,
`q_block_size`
"""


class GraphInputs:
    """The further inputs of one graph.

    Attributes:
        mutual: Whether all tokens of an image attend to each other. Then every forward gets biases.
    """

    def __init__(self, session: Any, *, window: int = 0) -> None:
        """Look up which inputs a graph has.

        Args:
            session: A session of a graph that `olpipe.convert` wrote.
            window: How many tokens a layer with a window attends to; 0 where biases need not know it.
        """
        shapes = {one.name: one.shape for one in session.get_inputs()}
        self._has_positions = POSITIONS in shapes
        self._width = shapes[FEATURES][1] if FEATURES in shapes else 0
        self._deepstack = shapes[DEEPSTACK][0] if DEEPSTACK in shapes else 0
        self.mutual = BIASES[0] in shapes
        self._window = window

    def of_prompt(self, prompt: Prompt, start: int, end: int) -> Inputs:
        """Return the inputs for the tokens of a prompt from one position to another. No image is cut by them."""
        inputs: dict[str, npt.NDArray[np.generic]] = {}
        if self._has_positions:
            inputs[POSITIONS] = prompt.rotary_positions()[:, None, start:end]  # (3, 1, length)
        if self._width:
            images = [image for image in prompt.images if start <= image.start < end]
            inputs |= self._features(images)
            inputs[FEATURE_ROWS] = _feature_rows(images, start, end)
        if self.mutual:
            inputs |= self._biases(prompt, start, end)
        return inputs

    def of_tokens(self, positions: Sequence[int], lengths: Sequence[int], count: int) -> Inputs:
        """Return the inputs for tokens of text that follow what rows hold.

        Args:
            positions: The rotary position of each row's first new token.
            lengths: How many tokens each row holds already.
            count: How many new tokens each row gets.
        """
        inputs: dict[str, npt.NDArray[np.generic]] = {}
        if self._has_positions:
            each = np.asarray(positions, np.int64)[:, None] + np.arange(count)  # (rows, count)
            inputs[POSITIONS] = np.ascontiguousarray(np.broadcast_to(each, (3, *each.shape)))
        if self._width:
            inputs |= self._features([])
            inputs[FEATURE_ROWS] = np.zeros((len(lengths), count), np.int64)
        if self.mutual:
            queries = np.asarray(lengths)[:, None] + np.arange(count)  # (rows, count)
            keys = np.arange(queries.max() + 1)  # (total length,)
            inputs |= self._opened(keys <= queries[..., None], keys > queries[..., None] - self._window)
        return inputs

    def _features(self, images: Sequence[PlacedImage]) -> dict[str, npt.NDArray[np.generic]]:
        """Return the features of images, one below the other."""
        features = {FEATURES: np.zeros((0, self._width), np.float32)}
        if self._deepstack:
            features[DEEPSTACK] = np.zeros((self._deepstack, 0, self._width), np.float32)
        if not images:
            return features
        return {name: np.concatenate([image.features[name] for image in images], axis=-2) for name in features}

    def _biases(self, prompt: Prompt, start: int, end: int) -> dict[str, npt.NDArray[np.generic]]:
        """Return who sees whom among the tokens of a prompt: earlier tokens, and all tokens of the same image."""
        numbers = np.full(end, -1)  # for each position the number of its image
        for number, image in enumerate(prompt.images):
            rows = np.array(image.rows or [1] * image.length)
            if image.end <= end:
                numbers[image.start : image.end] = np.where(rows > 0, number, -1)
        queries, keys = np.arange(start, end)[:, None], np.arange(end)
        same = (numbers[start:end, None] == numbers) & (numbers >= 0)
        seen = (keys <= queries) | same  # (length, total length)
        return self._opened(seen[None], (keys > queries - self._window)[None])

    def _opened(self, seen: npt.NDArray[np.bool_], near: npt.NDArray[np.bool_]) -> dict[str, npt.NDArray[np.generic]]:
        """Return biases that open what is seen, and for layers with a window what is also near.

        Args:
            seen: (rows, length, total length).
            near: The same shape.
        """
        near = near if self._window else np.ones_like(near)
        opened = {BIASES[0]: seen & near, BIASES[1]: seen}
        return {name: np.where(each, np.float32(0), CLOSED)[:, None] for name, each in opened.items()}


def _feature_rows(images: Sequence[PlacedImage], start: int, end: int) -> npt.NDArray[np.int64]:
    """Return for each token the number of its row of features, or 0 for text; (1, length)."""
    rows = np.zeros((1, end - start), np.int64)
    before = 0  # rows of the images before
    for image in images:
        own = np.array(image.rows or range(1, image.length + 1), np.int64)
        rows[0, image.start - start : image.end - start] = np.where(own > 0, own + before, 0)
        before += int(own.max())
    return rows


def pieces(prompt: Prompt, start: int, size: int) -> list[tuple[int, int]]:
    """Return how to run a prompt from a position on in pieces of at most this many tokens, (start, end) each.

    No image is cut. So a piece with a larger image is larger. A piece has at least two tokens, because a forward of one
    token may round differently. For the same reason, no piece has one token more than some blocks of `BLOCK` tokens,
    unless an image leaves no other place to cut.
    """
    found = []
    while start < len(prompt):
        end = prompt.whole(min(start + size, len(prompt)))
        if end <= start:  # the image is larger than a piece
            end = next(image.end for image in prompt.images if image.end > start)
        if len(prompt) - end < 2:
            end = len(prompt)
        shorter = prompt.whole(max(end - 2, start))
        if (end - start) % BLOCK == 1 and shorter - start >= 2:
            end = shorter
        found.append((start, end))
        start = end
    return found
