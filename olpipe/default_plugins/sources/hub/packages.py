"""Packages of ONNX Runtime GenAI in a repository: which there are, and which of their files are taken."""

from __future__ import annotations

from collections.abc import Sequence

from olpipe.default_plugins.sources.hub.repository import Repository, RepositoryFile
from olpipe.default_plugins.sources.transfer.trouble import NotThere, Trouble
from olpipe.store.package_checks import CONFIG_NAME

_SUFFIXES = (".json", ".jinja", ".txt", ".model", ".onnx", ".data", ".tiktoken")
"""Which files of a package are taken: settings, texts, graphs and weights. Code and pickled objects are not."""

_WEIGHTS = ".onnx"  # weights beside a graph have its name before theirs: `model.onnx_data`
_USUAL = "cpu"
_MOST_SHOWN = 8


def folders(repository: Repository) -> list[str]:
    """Return the folders that hold a package; the top is an empty text."""
    return [file.folder for file in repository.files if file.base_name == CONFIG_NAME]


def choose(repository: Repository, found: Sequence[str], variant: str) -> str:
    """Return the folder that is meant: by its path, by its name, or by a part of it that only one has.

    Args:
        repository: The repository.
        found: Its folders with packages.
        variant: What was asked for; empty for the only one, or else the only one for CPUs.

    Raises:
        NotThere: There is none.
        Trouble: Several are meant.
    """
    wanted = variant.lower()
    ways = [
        [folder for folder in found if folder.lower() == wanted],
        [folder for folder in found if folder.lower().rpartition("/")[2] == wanted],
        [folder for folder in found if wanted in folder.lower()],
    ]
    if not variant:
        ways = [list(found) if len(found) == 1 else [], [folder for folder in found if _USUAL in folder.lower()]]
    fitting = next((way for way in ways if way), [])
    if len(fitting) == 1:
        return fitting[0]
    listed = ", ".join(f"`:{folder}`" for folder in (fitting or found)[:_MOST_SHOWN])
    if variant and not fitting:
        raise NotThere(f"`{repository.id}` has no package `{variant}`", hint=f"it has {listed}")
    raise Trouble(f"`{repository.id}` has {len(fitting or found)} packages that may be meant", hint=f"choose {listed}")


def files_in(repository: Repository, folder: str) -> dict[str, RepositoryFile]:
    """Return the files of a package by their paths within it, the configuration first."""
    before = f"{folder}/" if folder else ""
    inside = {file.path.removeprefix(before): file for file in repository.files if file.path.startswith(before)}
    inner = [path.rpartition("/")[0] for path in inside if path.endswith(f"/{CONFIG_NAME}")]
    taken = {path: file for path, file in inside.items() if _is_taken(path, inner)}
    return {CONFIG_NAME: taken[CONFIG_NAME], **taken}


def _is_taken(path: str, inner: Sequence[str]) -> bool:
    """Say whether a file belongs to a package, and not to another package in a folder of it."""
    *parents, name = path.split("/")
    hidden = any(part.startswith(".") for part in (*parents, name))
    elsewhere = any(path.startswith(f"{folder}/") for folder in inner)
    kind = name.lower().endswith(_SUFFIXES) or _WEIGHTS in name.lower()
    return kind and not hidden and not elsewhere and not name.endswith(".py")
