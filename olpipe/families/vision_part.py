"""Find the vision encoder of a model and the family that it belongs to."""

from __future__ import annotations

from pathlib import Path

from olpipe.convert.gguf import open_gguf
from olpipe.convert.package import VisionPart
from olpipe.convert.vision_file import has_vision, open_vision, text_tensors
from olpipe.families.table import Families, family_for, family_named, shipped_families
from olpipe.interfaces.vision import VisionConfig


def find_vision(model: Path, projector: Path | None = None, families: Families | None = None) -> VisionPart | None:
    """Return the vision encoder of a model, checked by its header; None for a model that reads texts only.

    Args:
        model: The GGUF file of the text model.
        projector: The file with the vision encoder. None looks for it in the file of the text model.
        families: All families; None stands for those that ship with olpipe.

    Raises:
        ModelCorrupt: A file is damaged.
        ModelUnsupported: The vision encoder is of a kind that cannot be converted.
        PluginError: The family's own code failed.
    """
    opened = open_gguf(model if projector is None else projector)
    if projector is None and not has_vision(opened.header):
        return None
    # 1. The family that reads such a file.
    families = shipped_families() if families is None else families
    file = open_vision(opened)
    family = family_for(file.projector, opened.header.path, families)
    with families.blaming(family.name):
        config = family.read(file.metadata, file)
        if not isinstance(config, VisionConfig):
            raise TypeError(f"`read` gave a {type(config).__name__} where a `VisionConfig` is expected")
    # 2. It may have found that the file is of another family.
    family = family_named(config.family, families)
    names = opened.header.tensors.keys() - set(text_tensors(opened.header))
    return VisionPart(family, config, file, frozenset(names), families.whose(family.name))
