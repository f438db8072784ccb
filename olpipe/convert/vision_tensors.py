"""Check that a file has exactly the tensors of a vision encoder."""

from __future__ import annotations

from collections.abc import Mapping

from olpipe.errors import ModelCorrupt, ModelUnsupported
from olpipe.interfaces.vision import VisionTensors

Shapes = Mapping[str, tuple[int, ...]]
"""The shapes of tensors by their names, the outermost dimension first."""


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
    from olpipe.convert.gguf import shown

    for name in needed:
        if not tensors.has(name):
            raise ModelCorrupt(f"the vision encoder ({family}) has no tensor `{name}`")
    shapes = {**optional, **needed}
    for name in tensors.names():
        if name not in shapes:
            extra = shown(name)
            raise ModelUnsupported(f"the vision encoder has a tensor `{extra}`, which `{family}` does not have")
        if (found := tensors.shape(name)) != shapes[name]:
            raise ModelCorrupt(f"the vision encoder's tensor `{name}` is {found}, not {shapes[name]}")


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
