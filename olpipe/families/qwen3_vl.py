"""The family Qwen3-VL."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olpipe.convert.vision_metadata import VisionMetadata
from olpipe.convert.vision_tensors import check_tensors, layer_shapes, norm_shapes
from olpipe.errors import ModelCorrupt
from olpipe.families.qwen_vl import QwenVL, chat_template, read_sizes, rows_of, shared_shapes
from olpipe.image import BoxDialect
from olpipe.interfaces.vision import Fitted, VisionConfig, VisionTensors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from olpipe.convert.floats import Floats
    from olpipe.families.patches import Grid

# What files do not always say.
# Source: https://huggingface.co/Qwen/Qwen3-VL-4B-Instruct/blob/main/preprocessor_config.json
_LEFT_OUT = {"image_min_pixels": 65_536, "image_max_pixels": 16_777_216}

_POSITIONS = "v.position_embd.weight"


class Qwen3VL(QwenVL):
    """Qwen3-VL. Its vision encoder also gives features to the first layers of the text model (*deepstack*)."""

    name = "Qwen3-VL"
    version = "1"
    projectors = ("qwen3vl_merger",)
    template = chat_template()

    # Its makers say that the numbers go from 0 to 1000, where the family before had pixels.
    # Source: https://github.com/QwenLM/Qwen3-VL/blob/main/cookbooks/2d_grounding.ipynb
    boxes = BoxDialect("bbox_2d", "xyxy", "thousandths")

    def read(self, metadata: Mapping[str, Any], tensors: VisionTensors) -> VisionConfig:
        """Read the sizes and check the tensors."""
        # 1. The table of positions is square. It says for which size of images the encoder was made.
        values = VisionMetadata({**_LEFT_OUT, "image_size": 1, **metadata})
        config = read_sizes(self.name, values, tensors)
        positions = rows_of(tensors, _POSITIONS)
        side = math.isqrt(positions)
        if side**2 != positions:
            raise ModelCorrupt(f"the vision encoder's tensor `{_POSITIONS}` has `{positions}` rows, which is no square")
        config = replace(
            config,
            image_size=side * config.patch_size,
            deepstack_layers=_deepstack_layers(metadata.get("is_deepstack_layers"), config.layers, tensors),
        )
        # 2. The tensors.
        width, token_width = config.width, config.merge**2 * config.width
        shapes = shared_shapes(tensors, config) | norm_shapes("v.post_ln", width)
        shapes |= {"v.patch_embd.bias": (width,), _POSITIONS: (positions, width)}
        for layer in range(config.layers):
            shapes |= norm_shapes(f"v.blk.{layer}.ln1", width) | norm_shapes(f"v.blk.{layer}.ln2", width)
        for layer in config.deepstack_layers:
            name = f"v.deepstack.{layer}"
            shapes |= norm_shapes(f"{name}.norm", token_width)
            shapes |= layer_shapes(f"{name}.fc1", token_width, token_width)
            shapes |= layer_shapes(f"{name}.fc2", config.output_width, token_width)
        check_tensors(tensors, shapes, {}, family=self.name)
        return config

    def write(
        self, tensors: VisionTensors, config: VisionConfig, path: Path, *, eight_bits: bool, done: Callable[[], None]
    ) -> None:
        """Write the vision encoder."""
        from olpipe.convert.towers.qwen_vl import write_qwen3_vl

        write_qwen3_vl(tensors, config, path, eight_bits=eight_bits, done=done)

    def inputs(
        self, config: VisionConfig, pixels: npt.NDArray[np.uint8], fitted: Fitted
    ) -> Mapping[str, npt.NDArray[np.generic]]:
        """Return the patches and the tables that `write_qwen3_vl` describes."""
        from olpipe.families.patches import Grid

        grid = Grid.of(config, fitted)
        cos, sin = grid.rotations(config.width // config.heads)
        rows, weights = _positions_around(grid, config.image_size // config.patch_size)
        return {
            "patches": grid.patches(config, pixels, fitted),
            "cos": cos,
            "sin": sin,
            "position_rows": rows,
            "position_weights": weights,
        }


def _deepstack_layers(stated: Any, layers: int, tensors: VisionTensors) -> tuple[int, ...]:
    """Return the blocks after which there are features for the text model.

    Args:
        stated: For each block whether there are, as the file says; None where it does not say.
        layers: How many blocks there are.
        tensors: The tensors, which also tell.
    """
    found = tuple(layer for layer in range(layers) if tensors.has(f"v.deepstack.{layer}.fc1.weight"))
    if isinstance(stated, tuple) and (named := tuple(place for place, is_one in enumerate(stated) if is_one)) != found:
        raise ModelCorrupt(
            f"the vision encoder has deepstack mergers after the blocks `{found}`, but it says after `{named}`"
        )
    return found


def _positions_around(grid: Grid, side: int) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return where in a square table of positions each patch stands.

    The corners of the image lie on the corners of the table. Most patches fall between four of the table's positions.

    Args:
        grid: The patches.
        side: How many positions a row of the table has.

    Returns:
        The numbers of these four positions, and how much the patch gets of each of them; both are (patches, 4).
    """
    import numpy as np

    # 1. For both directions, the position before each patch and the way to the next one, (patches,) each.
    befores, ways = [], []
    for places, count in zip(grid.places(), (grid.rows, grid.columns), strict=True):
        exact = np.arange(count * grid.merge, dtype=np.float32) * np.float32(side - 1)
        exact /= np.float32(max(1, count * grid.merge - 1))
        before = exact.astype(np.int64)
        befores.append(before[places])
        ways.append((exact - before.astype(np.float32))[places])
    # 2. The four positions, (patches, 2, 2). A patch on the last position has no next one, and gets nothing of it.
    rows, columns = (np.minimum(before[:, None] + np.array([0, 1]), side - 1) for before in befores)
    row_parts, column_parts = (np.stack([1 - way, way], axis=1) for way in ways)
    numbers = rows[:, :, None] * side + columns[:, None, :]
    weights = row_parts[:, :, None] * column_parts[:, None, :]
    return numbers.reshape(-1, 4), weights.reshape(-1, 4)
