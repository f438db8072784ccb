"""The plugins of this project that are installed on their own, and what each of them brings.

So a hint can name the one that is missing. Nothing is imported or asked for that.
"""

from __future__ import annotations

from collections.abc import Mapping

BRINGS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "olpipe-coco": {"sink": ("coco", "yolo", "voc", "label-studio")},
    "olpipe-huggingface": {"sink": ("huggingface", "huggingface-paths")},
    "olpipe-llamacpp": {"backend": ("llamacpp",)},
    "olpipe-ocr": {"perceiver": ("ocr",)},
    "olpipe-parquet": {"sink": ("parquet",)},
    "olpipe-photo-mini": {"model source": ("photo-mini",), "perceiver": ("photo-mini",)},
    "olpipe-ray": {"executor": ("ray",)},
    "olpipe-xmp": {"sink": ("xmp", "xmp-beside", "xmp-embed")},
}
"""What each project brings: names, by the kind of thing as messages call it."""


def way_to(kind: str, name: str, not_loaded: str) -> str | None:
    """Return how to get a thing that one of these plugins brings; None where none of them does.

    Args:
        kind: The kind of thing, like `sink`.
        name: Its name.
        not_loaded: What tells of installed plugins that are not loaded. One of them needs no installing.
    """
    for project, things in BRINGS.items():
        if name in things.get(kind, ()):
            plugin = project.removeprefix("olpipe-")
            if f"`{plugin}` (" in not_loaded:
                return f"the plugin `{plugin}` brings it{not_loaded}"
            return f"run `pip install {project}`, the plugin that brings it"
    return None
