"""What the store is like: where it is, whether it can be written, and what downloads have left in it."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from olpipe.checkup.report import Section
from olpipe.model import ModelName
from olpipe.settings import Settings
from olpipe.sizes import size
from olpipe.store.library import Library

LITTLE_BYTES = 2_000_000_000
"""With less free space than this, few models can be pulled and built."""

_DAY_S = 24 * 3600
_BLOCK_BYTES = 512


def check_store(section: Section, settings: Settings, library: Library) -> None:
    """Fill a section about the store."""
    folder, cache = settings.models_folder, settings.home / "cache"
    names = library.names()
    section.facts |= {"folder": str(folder), "size": folder_size(folder), "models": len(names)}
    many = f"{len(names)} model{'' if len(names) == 1 else 's'}"
    section.add("folder", f"{folder}, {many}, {size(section.facts['size'])}")
    section.facts["cache"] = {"folder": str(cache), "size": folder_size(cache)}
    section.add("cache", f"{cache}, {size(section.facts['cache']['size'])}")
    _check_writable(section, folder, cache, has_models=bool(names))
    _check_space(section, folder, library, names)
    _check_unfinished(section, folder / "incoming")


def folder_size(folder: Path) -> int:
    """Return the bytes of all files in a folder. A file that disappears meanwhile counts nothing."""
    return sum(found.st_size for found in _files(folder))


def trouble_of_writing(folder: Path) -> str:
    """Return why nothing can be written into a folder, or into the one that it will be made in; empty if it can."""
    try:
        with tempfile.TemporaryFile(dir=_existing(folder), prefix=".olpipe-"):
            return ""
    except OSError as error:
        return error.strerror or type(error).__name__


def _check_writable(section: Section, folder: Path, cache: Path, *, has_models: bool) -> None:
    """Say whether models can be pulled and built."""
    section.facts["writable"] = True
    for what, path in (("store", folder), ("cache", cache)):
        if not (trouble := trouble_of_writing(path)):
            continue
        section.facts["writable"] = False
        # What is built already can be run all the same
        section.add("writing", f"the {what} {path} cannot be written: {trouble}", "note" if has_models else "fail")
        reason = f"Set OLPIPE_HOME or OLLAMA_MODELS to folders that you may write to. {path} cannot be written."
        section.advise("olpipe env", reason)
    if section.facts["writable"]:
        section.add("writing", "models can be pulled and built", "ok")


def _check_space(section: Section, folder: Path, library: Library, names: list[ModelName]) -> None:
    free = shutil.disk_usage(_existing(folder)).free
    section.facts["free"] = free
    if free >= LITTLE_BYTES:
        section.add("free space", size(free), "ok")
        return
    section.add("free space", f"{size(free)}: too little for most models", "note")
    largest = max(library.stored(), key=lambda model: model.size_bytes, default=None) if names else None
    if largest is not None:
        reason = f"It frees up to {size(largest.size_bytes)} of the disk, which has {size(free)} left."
        section.advise(f"olpipe rm {largest.name}", reason)
    else:
        section.advise("olpipe env", f"The disk of {folder} has {size(free)} left. OLLAMA_MODELS names another folder.")


def _check_unfinished(section: Section, incoming: Path) -> None:
    """Say what downloads have left that were interrupted, or that are going on."""
    found = sorted(_unfinished(incoming), key=lambda one: one["age"])
    section.facts["unfinished"] = found
    if not found:
        section.add("unfinished", "no downloads", "ok")
        return
    count, held = len(found), sum(one["size"] for one in found)
    downloads = "1 download holds" if count == 1 else f"{count} downloads hold"
    kept = "pull the model again to go on, or give it up with `olpipe store prune --partials`"
    section.add("unfinished", f"{downloads} {size(held)}, the last one from {_age(found[0]['age'])}: {kept}", "note")


def _unfinished(incoming: Path) -> Iterator[dict[str, Any]]:
    """Yield the folder, the size on the disk and the age in seconds of each download that has not ended."""
    for folder in incoming.glob("pull-*"):
        if not folder.is_dir():
            continue
        files = list(_files(folder))
        # The file of a blob is as long as the blob will be, so only what was written of it counts
        held = sum(getattr(one, "st_blocks", one.st_size // _BLOCK_BYTES) * _BLOCK_BYTES for one in files)
        if held:
            last_s = max(one.st_mtime for one in files)
            yield {"folder": str(folder), "size": held, "age": max(0, round(time.time() - last_s))}


def _age(seconds: int) -> str:
    for length, unit in ((_DAY_S, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= length:
            number = seconds // length
            return f"{number} {unit}{'' if number == 1 else 's'} ago"
    return "just now"


def _existing(folder: Path) -> Path:
    """Return the folder, or where it is not there, the nearest thing above it that is."""
    return next((path for path in (folder, *folder.parents) if os.path.lexists(path)), folder)


def _files(folder: Path) -> Iterator[Any]:
    """Yield what the system knows of each file in a folder. A file that disappears meanwhile is left out."""
    for path in folder.rglob("*") if folder.is_dir() else ():
        try:
            if path.is_file():
                yield path.lstat()
        except OSError:
            continue
