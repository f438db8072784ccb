"""What the families with square tiles have in common: the sizes of their vision encoders, and their pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from olpipe.convert.vision_metadata import VisionMetadata
from olpipe.convert.vision_tensors import block_shapes, norm_shapes
from olpipe.errors import ModelCorrupt
from olpipe.imaging.fitting import normalised
from olpipe.interfaces.vision import VisionConfig, VisionTensors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_MOST_LAYERS = 1 << 10


def read_tile_sizes(values: VisionMetadata, *, family: str, merge: int, output_width: int) -> VisionConfig:
    """Read the sizes that all vision encoders for square tiles have.

    Args:
        values: What the file says.
        family: The name of the family.
        merge: How many patches side by side become one token.
        output_width: The width of a row of features.

    Raises:
        ModelCorrupt: A size is missing, or two of them contradict each other.
    """
    size, patch = values.size("image_size"), values.size("patch_size")
    width, heads = values.size("embedding_length"), values.size("attention.head_count")
    if size % (patch * merge):
        raise ModelCorrupt(
            f"the vision encoder sees tiles of `{size}` pixels, which are not whole tokens of `{patch * merge}`"
        )
    if width % heads:
        raise ModelCorrupt(f"the vision encoder's width `{width}` cannot be divided among `{heads}` heads")
    return VisionConfig(
        family=family,
        image_size=size,
        patch_size=patch,
        merge=merge,
        layers=values.size("block_count", limit=_MOST_LAYERS),
        heads=heads,
        width=width,
        inner_width=values.size("feed_forward_length"),
        output_width=output_width,
        epsilon=values.positive("attention.layer_norm_epsilon"),
        mean=values.colour("image_mean"),
        std=values.spread("image_std"),
    )


def tile_shapes(config: VisionConfig, *, more_places: int = 0) -> dict[str, tuple[int, ...]]:
    """Return the tensors that all these encoders have, with their shapes: patches, positions and blocks.

    Args:
        config: The sizes.
        more_places: How many positions there are besides those of the patches.
    """
    patch, side = config.patch_size, config.image_size // config.patch_size
    shapes: dict[str, tuple[int, ...]] = {
        "v.patch_embd.weight": (config.width, 3, patch, patch),
        "v.position_embd.weight": (side * side + more_places, config.width),
    }
    for layer in range(config.layers):
        shapes |= block_shapes(f"v.blk.{layer}", config.width, config.inner_width)
    return shapes


def siglip_shapes(config: VisionConfig) -> dict[str, tuple[int, ...]]:
    """Return the tensors of a SigLIP encoder with their shapes."""
    return tile_shapes(config) | {"v.patch_embd.bias": (config.width,)} | norm_shapes("v.post_ln", config.width)


def tile_tokens(config: VisionConfig) -> int:
    """Return how many tokens a tile becomes."""
    side = config.image_size // config.patch_size // config.merge
    return side * side


def size_of(tensors: VisionTensors, name: str, dimension: int) -> int:
    """Return a dimension of a tensor, and 0 where there is none."""
    shape = tensors.shape(name) if tensors.has(name) else ()
    return shape[dimension] if dimension < len(shape) else 0


def one_tile(config: VisionConfig, pixels: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.generic]]:
    """Return the inputs of a graph for an image, (image size, image size, 3), that is a single tile."""
    return {"pixels": normalised(pixels, config.mean, config.std)[None]}
