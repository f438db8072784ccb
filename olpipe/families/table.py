"""All families of vision models that ship with olpipe, and how a family is found among all that are known."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from olpipe.errors import ModelUnsupported
from olpipe.families.gemma3 import Gemma3
from olpipe.families.idefics3 import Idefics3
from olpipe.families.llava import LLAVA_1_5, LLAVA_1_6
from olpipe.families.qwen2_5_vl import Qwen25VL
from olpipe.families.qwen3_vl import Qwen3VL
from olpipe.interfaces.vision import Family
from olpipe.registry import Registry

FAMILIES: tuple[Family, ...] = (
    Idefics3(),
    LLAVA_1_5,
    LLAVA_1_6,
    Gemma3(),
    Qwen25VL(),
    Qwen3VL(),
)

Families = Registry[Family]
"""Families by their names, in the order in which they are asked."""


@cache
def shipped_families() -> Families:
    """Return the families that ship with olpipe."""
    families: Families = Registry("family", Family, titles=True)  # type: ignore[type-abstract]
    for family in FAMILIES:
        families.register(family, "families")
    return families


def family_for(projector: str, path: Path, families: Families | None = None) -> Family:
    """Return the family that reads a vision encoder.

    Args:
        projector: The encoder's `clip.projector_type`.
        path: Its file, for the error message.
        families: All families; None stands for those that ship with olpipe.

    Raises:
        ModelUnsupported: There is no such family.
    """
    families = shipped_families() if families is None else families
    for family in families:
        if projector in family.projectors:
            return family
    from olpipe.convert.gguf import shown

    known = ", ".join(f"`{name}`" for family in families for name in family.projectors)
    raise ModelUnsupported(
        f"`{path}` has a vision encoder of the type `{shown(projector)}`, which cannot be converted",
        hint=f"these can be converted: {known}. A plugin can bring more{families.not_loaded}",
    )


def family_named(name: str, families: Families | None = None) -> Family:
    """Return a family by its name.

    Args:
        name: The name, as a package has it.
        families: All families; None stands for those that ship with olpipe.

    Raises:
        ModelUnsupported: There is no such family, so the plugin that brought it is gone.
    """
    families = shipped_families() if families is None else families
    if name in families:
        return families.get(name)
    from olpipe.convert.gguf import shown

    raise ModelUnsupported(
        f"the model needs the plugin that brings the family `{shown(name)}`",
        hint=f"install that plugin{families.not_loaded}",
    )
