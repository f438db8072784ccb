"""Check that a file has exactly the tensors of a model. This module imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from olpipe.errors import ModelCorrupt, ModelUnsupported

Shapes = Mapping[str, tuple[int, ...]]
"""The shapes of tensors by their names, the outermost dimension first."""


def check_shapes(
    whose: str,
    found: Shapes,
    needed: Shapes,
    *,
    kind: str,
    optional: Shapes | None = None,
    others: Collection[str] = (),
    spelt: Callable[[str], str] = str,
) -> None:
    """Check that the tensors that are needed are there in the right shapes, and none that is not known.

    Args:
        whose: Begins the messages: what has the tensors.
        found: The tensors.
        needed: Those that must be there.
        kind: What such tensors make, for the message about one that is not known.
        optional: Those that may be there, in these shapes.
        others: The names of those that may be there in any shape.
        spelt: Returns the name by which messages call a tensor.

    Raises:
        ModelCorrupt: A tensor is missing, or has another shape.
        ModelUnsupported: There is a tensor that is not known.
    """
    from olpipe.convert.gguf import shown

    for name in needed:
        if name not in found:
            raise ModelCorrupt(f"{whose} has no tensor `{spelt(name)}`")
    shapes = {**(optional or {}), **needed}
    for name, shape in found.items():
        if name in shapes:
            if shape != shapes[name]:
                raise ModelCorrupt(f"{whose}: tensor `{spelt(name)}` is {shape}, not {shapes[name]}")
        elif name not in others:
            raise ModelUnsupported(f"{whose} has a tensor `{shown(spelt(name))}`, which {kind} does not have")
