"""Write the vision encoders of Qwen2.5-VL and Qwen3-VL as ONNX graphs.

Both take an image as patches, in which the patches of one token stand behind each other. Everything that depends on the
size of the image comes as a table beside the patches. So one graph serves images of every size.

In comments, the shapes of values are (1, patches, width) unless they say something else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx

from olpipe.convert.graph import CONTRIB, write_graph
from olpipe.convert.towers.encoder import Activation, Encoder
from olpipe.interfaces.vision import VisionConfig, VisionTensors

_MERGER = ("mm.0", "mm.2")

Input: TypeAlias = tuple[Any, Sequence[int | str]]
"""The numpy type and the shape of an input."""


def write_qwen2_5_vl(
    tensors: VisionTensors, config: VisionConfig, path: Path, *, eight_bits: bool, done: Callable[[], None]
) -> None:
    """Write the vision encoder of a Qwen2.5-VL, as `Family.write` describes.

    Most of its blocks attend to windows. Its patches come window by window, and these are its inputs:

    - `patches`, (patches, 3 * patch size * patch size) float32.
    - `cos` and `sin`, (patches, half of a head) float32: the rotation of each patch.
    - `window_patches`, (windows, patches of a whole window) int64: which patches are in each window. The places that a
      smaller window leaves empty hold any number.
    - `window_mask`, the same shape, int32: 1 for a patch, and 0 for an empty place.
    - `window_places`, (patches,) int64: for each patch its place in the windows, counted over all of them.
    - `token_places`, (tokens,) int64: for each token of the image, row by row, its place in the order of the windows.
    """
    write_graph(path, lambda weights: _Writer(tensors, config, weights, eight_bits=eight_bits, done=done).windowed())


def write_qwen3_vl(
    tensors: VisionTensors, config: VisionConfig, path: Path, *, eight_bits: bool, done: Callable[[], None]
) -> None:
    """Write the vision encoder of a Qwen3-VL, as `Family.write` describes.

    Its inputs are:

    - `patches`, (patches, 3 * patch size * patch size) float32.
    - `cos` and `sin`, (patches, half of a head) float32: the rotation of each patch.
    - `position_rows`, (patches, 4) int64: which rows of the table of positions are around each patch.
    - `position_weights`, (patches, 4) float32: how much of each of them the patch gets.
    """
    write_graph(path, lambda weights: _Writer(tensors, config, weights, eight_bits=eight_bits, done=done).deepstack())


class _Writer(Encoder):
    """Appends the nodes of a graph in the order of the data flow."""

    def windowed(self) -> onnx.GraphProto:
        """Return the graph of a Qwen2.5-VL."""
        config = self.config
        # 1. The blocks. Each attends to windows, or to the whole image.
        hidden = self._in_one_tile(self._embedded())
        for layer in range(config.layers):
            attend = self._attend_to_all if layer in config.full_layers else self._attend_to_windows
            hidden = self._qwen_block(hidden, f"v.blk.{layer}", attend, Activation.SILU)
        # 2. The patches of a token become one row, and the tokens come back into the order of the image.
        merged = self._merge(self.norm(hidden, "v.post_ln"), _MERGER, "mm.2.output")
        self.graph.node("Gather", [merged, "token_places"], ["features"])
        side = config.window // config.patch_size
        tables: dict[str, Input] = {
            "window_patches": (np.int64, ["windows", side * side]),
            "window_mask": (np.int32, ["windows", side * side]),
            "window_places": (np.int64, ["patches"]),
            "token_places": (np.int64, ["tokens"]),
        }
        return self._whole(tables)

    def deepstack(self) -> onnx.GraphProto:
        """Return the graph of a Qwen3-VL."""
        config, node = self.config, self.graph.node
        # 1. The blocks. What comes out of some of them also becomes features for the text model.
        hidden = self._in_one_tile(self.add(self._embedded(), self._positions(), "embedded"))
        deep: list[str] = []
        for layer in range(config.layers):
            hidden = self._qwen_block(hidden, f"v.blk.{layer}", self._attend_to_all, Activation.TANH_GELU)
            if layer in config.deepstack_layers:
                deep.append(self._deep_features(hidden, f"v.deepstack.{layer}"))
        # 2. The patches of a token become one row. They are normalised one by one before that.
        self._merge(self.norm(hidden, "v.post_ln"), _MERGER, "features")
        # 3. The features for the first layers of the text model, (layers, tokens, output width).
        if deep:
            node("Concat", deep, ["deepstack"], axis=0)
        tables: dict[str, Input] = {
            "position_rows": (np.int64, ["patches", 4]),
            "position_weights": (np.float32, ["patches", 4]),
        }
        return self._whole(tables, deepstack=len(deep))

    def _whole(self, tables: Mapping[str, Input], *, deepstack: int = 0) -> onnx.GraphProto:
        """Return the graph.

        Args:
            tables: The inputs that only one of the two families has.
            deepstack: For how many layers of the text model there are features.
        """
        config = self.config
        angles = config.width // config.heads // 2
        inputs: dict[str, Input] = {
            "patches": (np.float32, ["patches", 3 * config.patch_size**2]),
            "cos": (np.float32, ["patches", angles]),
            "sin": (np.float32, ["patches", angles]),
            **tables,
        }
        outputs: dict[str, Sequence[int | str]] = {"features": ["tokens", config.output_width]}
        if deepstack:
            outputs["deepstack"] = [deepstack, "tokens", config.output_width]
        return self.finished(inputs, outputs)

    @property
    def _token_width(self) -> int:
        """How many values the patches of one token have, one behind the other."""
        return self.config.merge**2 * self.config.width

    # --- patches --------------------------------------------------------------------------------

    def _embedded(self) -> str:
        """Multiply the patches by the embedding; gives (patches, width).

        The encoder is made for videos, and sees two frames at a time. A photo is two equal frames. So the two matrices
        that the file has, one for each frame, are added here, and their sum is multiplied by one frame.
        """
        name = "v.patch_embd"
        frames = [self.source.array(f"{name}.weight"), self.source.array(f"{name}.weight.1")]
        kernels = (frames[0] + frames[1]).reshape(self.config.width, -1)  # (width, 3 * patch size * patch size)
        self._done()
        embedding = self.stored(f"{name}.weight", np.ascontiguousarray(kernels.T))
        embedded = self.graph.node("MatMul", ["patches", embedding], [f"{name}.output"])
        if not self.source.has(f"{name}.bias"):
            return embedded
        return self.add(embedded, self.vector(f"{name}.bias"), f"{name}.biased")

    def _positions(self) -> str:
        """Compute the position of each patch, (patches, width), from the four positions around it in the table."""
        node, constant = self.graph.node, self.graph.constant
        table = self.stored("v.position_embd", self.source.array("v.position_embd.weight"))  # (positions, width)
        around = node("Gather", [table, "position_rows"], ["positions.around"])  # (patches, 4, width)
        axis = constant("axis", np.array([1]))
        weights = node("Unsqueeze", ["position_weights", axis], ["positions.weights"])  # (patches, 1, 4)
        mixed = node("MatMul", [weights, around], ["positions.mixed"])  # (patches, 1, width)
        return node("Squeeze", [mixed, axis], ["positions"])

    def _in_one_tile(self, patches: str) -> str:
        """Put a dimension in front of (patches, width), because the operators of attention expect one."""
        axis = self.graph.constant("first_axis", np.array([0]))
        return self.graph.node("Unsqueeze", [patches, axis], ["hidden"])

    # --- blocks ---------------------------------------------------------------------------------

    def _qwen_block(
        self, hidden: str, block: str, attend: Callable[[Sequence[str], str], str], activation: Activation
    ) -> str:
        """Write a block, in which queries and keys are rotated by the places of their patches."""
        queries, keys, contents = self.projections(self.norm(hidden, f"{block}.ln1"), block)
        rotated = [self._rotate(queries, f"{block}.attn_q"), self._rotate(keys, f"{block}.attn_k")]
        attended = self.multiply(attend([*rotated, contents], block), f"{block}.attn_out")
        hidden = self.add(hidden, attended, f"{block}.attn.residual")
        opened = self.feed_forward(self.norm(hidden, f"{block}.ln2"), block, activation)
        return self.add(hidden, opened, f"{block}.ffn.residual")

    def _rotate(self, values: str, name: str) -> str:
        """Rotate queries or keys. The tables have one row for each patch, so that the first patch is at 0."""
        start = self.graph.constant("start", np.array([0]))
        inputs = [values, start, "cos", "sin"]
        return self.graph.node(
            "RotaryEmbedding", inputs, [f"{name}.rotated"], domain=CONTRIB, num_heads=self.config.heads
        )

    def _attend_to_all(self, projected: Sequence[str], block: str) -> str:
        """Let all patches of the image attend to each other."""
        return self.attend(projected, f"{block}.attn.output")

    def _attend_to_windows(self, projected: Sequence[str], block: str) -> str:
        """Let the patches of each window attend to each other."""
        node, config = self.graph.node, self.config
        places = (config.window // config.patch_size) ** 2
        parts: list[str] = []
        for part, values in zip("qkv", projected, strict=True):
            name = f"{block}.attn_{part}.windows"
            gathered = node("Gather", [values, "window_patches"], [f"{name}.tile"], axis=1)  # (1, windows, places, …)
            parts.append(self.reshape(gathered, (-1, places, config.width), name))  # (windows, places, width)
        attended = self.attend(parts, f"{block}.attn.windows", mask="window_mask")
        in_one_tile = self.reshape(attended, (1, -1, config.width), f"{block}.attn.places")  # (1, windows * places, …)
        return node("Gather", [in_one_tile, "window_places"], [f"{block}.attn.output"], axis=1)

    # --- tokens ---------------------------------------------------------------------------------

    def _merge(self, hidden: str, layers: tuple[str, str], output: str) -> str:
        """Turn the patches of each token into a row of features; gives (tokens, output width)."""
        rows = self.reshape(hidden, (-1, self._token_width), f"{layers[0]}.input")  # (tokens, token width)
        return self._features(rows, layers, output)

    def _deep_features(self, hidden: str, name: str) -> str:
        """Turn the patches into features of a layer of the text model; gives (1, tokens, output width)."""
        rows = self.reshape(hidden, (1, -1, self._token_width), f"{name}.rows")
        return self._features(self.norm(rows, f"{name}.norm"), (f"{name}.fc1", f"{name}.fc2"), f"{name}.output")

    def _features(self, rows: str, layers: tuple[str, str], output: str) -> str:
        """Multiply rows, (…, token width), by two matrices with an activation in between. Both stay float32."""
        opened = self.multiply(rows, layers[0], exact=True)
        activated = self.activate(opened, Activation.GELU, f"{layers[0]}.gelu")
        return self.multiply(activated, layers[1], exact=True, output=output)
