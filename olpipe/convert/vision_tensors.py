"""Check that a file has exactly the tensors of a vision encoder."""

from __future__ import annotations

from olpipe.convert.tensor_shapes import Shapes, check_shapes
from olpipe.interfaces.vision import VisionTensors


def check_tensors(tensors: VisionTensors, needed: Shapes, optional: Shapes, *, family: str) -> None:
    """Check that a vision encoder has the tensors that it needs in the right shapes, and no others.

    Args:
        tensors: Its tensors.
        needed: Those that must be there.
        optional: Those that may be there.
        family: The name of the family, for messages.

    Raises:
        ModelCorrupt: A tensor is missing, or has another shape.
        ModelUnsupported: There is a tensor that such an encoder does not have.
    """
    found = {name: tensors.shape(name) for name in tensors.names()}
    check_shapes(f"the vision encoder ({family})", found, needed, kind=f"`{family}`", optional=optional)


def layer_shapes(name: str, rows: int, columns: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a layer with a matrix and a bias."""
    return {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}


def norm_shapes(name: str, width: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a layer norm."""
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def block_shapes(block: str, width: int, inner_width: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a block whose norms and matrices all have biases.

    Args:
        block: Its name, such as `v.blk.0`.
        width: The width of the residual stream.
        inner_width: The width inside the feed-forward block.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for part in ("attn_q", "attn_k", "attn_v", "attn_out"):
        shapes |= layer_shapes(f"{block}.{part}", width, width)
    shapes |= layer_shapes(f"{block}.ffn_up", inner_width, width)
    shapes |= layer_shapes(f"{block}.ffn_down", width, inner_width)
    return shapes | norm_shapes(f"{block}.ln1", width) | norm_shapes(f"{block}.ln2", width)
