"""Choose the files of a model in a folder of GGUF files: a text model, and a projector where it needs one."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from olpipe.convert.gguf import read_header
from olpipe.errors import PullFailed
from olpipe.store.vision import is_projector

_SUFFIX = ".gguf"
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class GGUFFiles:
    """The files of a model.

    Attributes:
        model: The text model, which may have a vision encoder in it.
        projector: Its vision encoder where that is a file of its own.
    """

    model: Path
    projector: Path | None = None


def gguf_files(folder: Path) -> list[Path]:
    """Return the GGUF files that lie right in a folder, sorted by name; hidden ones are left out."""
    found = [path for path in folder.iterdir() if path.suffix.lower() == _SUFFIX and not path.name.startswith(".")]
    return sorted(path for path in found if path.is_file())


def choose_files(folder: Path) -> GGUFFiles:
    """Choose the text model and the projector by what the files are, whatever they are called.

    Args:
        folder: A folder with at least one GGUF file.

    Raises:
        PullFailed: There are several text models or several projectors, or there is no text model.
        ModelCorrupt: One of the files is damaged, or is not a GGUF file.
    """
    models: list[Path] = []
    projectors: list[Path] = []
    for path in gguf_files(folder):
        (projectors if is_projector(read_header(path)) else models).append(path)
    if not models:
        message = f"`{folder}` has no text model: {_named(projectors)} is a vision encoder"
        raise PullFailed(message, hint="name the text model: `olpipe pull file:MODEL.gguf --projector PROJECTOR.gguf`")
    for what, found in (("text models", models), ("projectors", projectors)):
        if len(found) > 1:
            message = f"`{folder}` has {len(found)} {what}: {_named(found)}"
            command = [
                "olpipe",
                "pull",
                f"file:{models[0]}",
                *(["--projector", str(projectors[0])] if projectors else []),
            ]
            raise PullFailed(message, hint=f"name the files, as in `{shlex.join(command)}`")
    return GGUFFiles(models[0], projectors[0] if projectors else None)


def _named(paths: Sequence[Path]) -> str:
    more = ["…"] if len(paths) > _MOST_NAMED else []
    return ", ".join([f"`{path.name}`" for path in paths[:_MOST_NAMED]] + more)
