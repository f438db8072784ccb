"""Lay a model's blobs out under their own names, as runtimes want to open them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from olpipe.store.package_checks import check_package
from olpipe.store.writing import new_folder, writing

# Smaller files are copied: those are the ones that people open in an editor, and an edit through a
# hard link would change the blob.
LINK_FROM_BYTES = 4 << 20


def materialise(view: Path, files: Mapping[str, tuple[Path, int]]) -> None:
    """Make a folder of a model's files, complete or not at all. A complete one that is there is used again.

    Args:
        view: The folder to make.
        files: The blob and its size in bytes, by the file's name in the folder.

    Raises:
        FileNotFoundError: A blob is missing.
        ValueError: It is a package that names files outside its folder.
        DiskFull: There was no space for copies.
    """
    if _whole(view, files):
        return
    with writing(view):
        view.parent.mkdir(parents=True, exist_ok=True)
        fresh = new_folder(view.parent, ".new-")
        try:
            for name, (blob, size) in files.items():
                target = fresh.joinpath(*name.split("/"))
                target.parent.mkdir(parents=True, exist_ok=True)
                _place(blob, target, size)
            check_package(fresh)
            _swap(fresh, view, files)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def share(source: Path, target: Path) -> None:
    """Give the files of a folder a second name in another folder, which must not exist yet; all of them or none.

    Do nothing where there is nothing to share, or on a file system without hard links.
    """
    if not source.is_dir() or target.exists():
        return
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = new_folder(target.parent, ".new-")
        try:
            linked = fresh / target.name
            with suppress(OSError):
                shutil.copytree(source, linked, copy_function=os.link, ignore=_unfinished)
                os.rename(linked, target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def discard(folder: Path) -> None:
    """Remove a view or a build. It is first renamed, so that nobody takes a half-removed one for complete."""
    if folder.is_dir():
        doomed = new_folder(folder.parent, ".old-")
        with suppress(OSError):
            os.replace(folder, doomed / folder.name)
        shutil.rmtree(doomed, ignore_errors=True)


def _unfinished(folder: str, names: list[str]) -> list[str]:
    """Return what is left out of a shared build: what a conversion that goes on, or was killed, has written so far."""
    return [name for name in names if name.endswith(".unfinished")]


def _whole(view: Path, files: Mapping[str, tuple[Path, int]]) -> bool:
    for name, (_, size) in files.items():
        path = view.joinpath(*name.split("/"))
        if not path.is_file() or path.stat().st_size != size:
            return False
    return view.is_dir()


def _place(blob: Path, target: Path, size: int) -> None:
    if size >= LINK_FROM_BYTES:
        # Fails on another file system, or on one without hard links: then the file is copied.
        with suppress(OSError):
            os.link(blob, target)
            return
    shutil.copyfile(blob, target)


def _swap(fresh: Path, view: Path, files: Mapping[str, tuple[Path, int]]) -> None:
    try:
        os.rename(fresh, view)
    except OSError:
        # Another process was faster, or something damaged has the name.
        if _whole(view, files):
            return
        discard(view)
        os.rename(fresh, view)
