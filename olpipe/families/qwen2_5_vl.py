"""The family Qwen2.5-VL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olpipe.convert.vision_metadata import VisionMetadata
from olpipe.convert.vision_tensors import check_tensors, layer_shapes
from olpipe.errors import ModelCorrupt
from olpipe.families.qwen_vl import QwenVL, chat_template, read_sizes, shared_shapes
from olpipe.image import BoxDialect
from olpipe.interfaces.vision import Fitted, VisionConfig, VisionTensors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# What files do not always say.
# Source: https://huggingface.co/Qwen/Qwen2.5-VL-3B-Instruct/blob/main/preprocessor_config.json
_LEFT_OUT = {"image_min_pixels": 3_136, "image_max_pixels": 12_845_056, "window_size": 112, "image_size": 560}


class Qwen25VL(QwenVL):
    """Qwen2.5-VL. Most blocks of its vision encoder attend to windows of the image."""

    name = "Qwen2.5-VL"
    version = "1"
    projectors = ("qwen2.5vl_merger",)
    template = chat_template("You are a helpful assistant.")

    # Its makers say that the numbers count pixels of the image after it was resized.
    # Source: https://github.com/QwenLM/Qwen3-VL/issues/676
    boxes = BoxDialect("bbox_2d", "xyxy", "pixels")

    def read(self, metadata: Mapping[str, Any], tensors: VisionTensors) -> VisionConfig:
        """Read the sizes and check the tensors."""
        values = VisionMetadata({**_LEFT_OUT, **metadata})
        config = read_sizes(self.name, values, tensors)
        window, cell = values.size("window_size"), config.patch_size * config.merge
        if window % cell:
            raise ModelCorrupt(f"the vision encoder's windows of `{window}` pixels are not whole cells of `{cell}`")
        config = replace(config, window=window, full_layers=_full_layers(values, config.layers))
        shapes = shared_shapes(tensors, config) | {"v.post_ln.weight": (config.width,)}
        for layer in range(config.layers):
            block = f"v.blk.{layer}"
            shapes |= {f"{block}.{norm}.weight": (config.width,) for norm in ("ln1", "ln2")}
            shapes |= layer_shapes(f"{block}.ffn_gate", config.inner_width, config.width)
        check_tensors(tensors, shapes, {}, family=self.name)
        return config

    def write(
        self, tensors: VisionTensors, config: VisionConfig, path: Path, *, eight_bits: bool, done: Callable[[], None]
    ) -> None:
        """Write the vision encoder."""
        from olpipe.convert.towers.qwen_vl import write_qwen2_5_vl

        write_qwen2_5_vl(tensors, config, path, eight_bits=eight_bits, done=done)

    def inputs(
        self, config: VisionConfig, pixels: npt.NDArray[np.uint8], fitted: Fitted
    ) -> Mapping[str, npt.NDArray[np.generic]]:
        """Return the patches in the order of the windows, and the tables that `write_qwen2_5_vl` describes."""
        import numpy as np

        from olpipe.families.patches import Grid, Windows

        grid = Grid.of(config, fitted)
        windows = Windows.of(grid, config.window // (config.patch_size * config.merge))
        half_head = config.width // config.heads // 2
        # All patches of a cell move with it, and so do their rotations.
        cos, sin = (
            table.reshape(len(windows.order), -1)[windows.order].reshape(-1, half_head)
            for table in grid.rotations(2 * half_head)
        )
        return {
            "patches": grid.patches(config, pixels, fitted, order=windows.order),
            "cos": cos,
            "sin": sin,
            "window_patches": windows.members,
            "window_mask": windows.taken.astype(np.int32),
            "window_places": windows.places,
            "token_places": windows.inverse,
        }


def _full_layers(values: VisionMetadata, layers: int) -> tuple[int, ...]:
    """Return the blocks that attend to the whole image. Files name them one by one, or say that every n-th is one."""
    named = values.layers("fullatt_block_indexes")
    if named is None:
        every = values.size("n_wa_pattern")
        return tuple(range(every - 1, layers, every))
    if not all(0 <= layer < layers for layer in named):
        raise ModelCorrupt(f"the vision encoder has `{layers}` blocks, but it says that blocks `{named}` see all")
    return named
