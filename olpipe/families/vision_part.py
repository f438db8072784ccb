"""Find the vision encoder of a model and the family that it belongs to."""

from __future__ import annotations

from pathlib import Path

from olpipe.convert.gguf import open_gguf
from olpipe.convert.package import VisionPart
from olpipe.convert.vision_file import has_vision, open_vision, text_tensors
from olpipe.families.table import family_for


def find_vision(model: Path, projector: Path | None = None) -> VisionPart | None:
    """Return the vision encoder of a model, checked by its header; None for a model that reads texts only.

    Args:
        model: The GGUF file of the text model.
        projector: The file with the vision encoder. None looks for it in the file of the text model.

    Raises:
        ModelCorrupt: A file is damaged.
        ModelUnsupported: The vision encoder is of a kind that cannot be converted.
    """
    opened = open_gguf(model if projector is None else projector)
    if projector is None and not has_vision(opened.header):
        return None
    file = open_vision(opened)
    family = family_for(file.projector, opened.header.path)
    names = opened.header.tensors.keys() - set(text_tensors(opened.header))
    return VisionPart(family, family.read(file.metadata, file), file, frozenset(names))
