"""Find and remove what nobody needs any more: files of processes that died, and what was made of models that are gone.

What an interrupted pull has brought is never found here, however old it is: its whole blobs, and its partial ones.
"""

from __future__ import annotations

import re
import stat
import time
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from olpipe.convert.architectures import FORMAT_VERSION
from olpipe.errors import StoreError
from olpipe.store import views
from olpipe.store.blobs import Blobs
from olpipe.store.chat_facts import ChatFactsCache
from olpipe.store.manifests import Manifests
from olpipe.store.seal import discard_build
from olpipe.store.unfinished import UnfinishedPulls, partial_name, trying_lock

HOUR_S = 3600
TEMPORARY_KEPT_S = HOUR_S
"""A temporary file that nobody has written to for so long belongs to a process that has ended."""
UNNAMED_BLOB_KEPT_S = 24 * HOUR_S
"""How long a blob may wait for its manifest, where no unfinished pull counts on it."""

DAMAGED = "damaged"
"""The folder of a store into which damaged blobs are moved."""

Kind = Literal["temporary", "blob", "view", "conversion", "facts", "damaged"]

_PACKAGE = re.compile(r"(?:ort-genai|onnx)-(\d+)")
"""Packages called `ort-genai-…` are older than all others."""
_UNFINISHED = ".unfinished"


@dataclass(frozen=True, slots=True)
class Ages:
    """For how many seconds something stays that a process may still work with."""

    temporary: float
    blob: float
    made: float


AUTOMATIC = Ages(TEMPORARY_KEPT_S, UNNAMED_BLOB_KEPT_S, UNNAMED_BLOB_KEPT_S)
"""What every pull removes."""

ASKED = Ages(TEMPORARY_KEPT_S, TEMPORARY_KEPT_S, TEMPORARY_KEPT_S)
"""What is removed where somebody asks for it."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a store.

    Attributes:
        folder: The folder of the store.
        incoming: What pulls have not finished.
        cache: What was made of models.
        manifests: The manifests.
        blobs: The blobs.
        chat_facts: What is known of the models.
        unfinished: The unfinished pulls.
    """

    folder: Path
    incoming: Path
    cache: Path
    manifests: Manifests
    blobs: Blobs
    chat_facts: ChatFactsCache
    unfinished: UnfinishedPulls


@dataclass(frozen=True, slots=True)
class Leftover:
    """A file or a folder that nobody needs.

    Attributes:
        kind: What it is.
        path: Where it is.
    """

    kind: Kind
    path: Path

    def remove(self) -> None:
        """Remove it, if it is still there."""
        if self.path.is_dir() and not self.path.is_symlink():
            (discard_build if self.path.parent.name == "builds" else views.discard)(self.path)
        else:
            with suppress(PermissionError):  # it is open on Windows
                self.path.unlink(missing_ok=True)


def clean(parts: Parts, *, keeps_blobs: bool) -> None:
    """Remove what is too old to belong to a process at work. The caller holds the store's lock."""
    for leftover in [*temporaries(parts, AUTOMATIC), *unneeded(parts, AUTOMATIC, keeps_blobs=keeps_blobs)]:
        leftover.remove()


def temporaries(parts: Parts, ages: Ages) -> Iterator[Leftover]:
    """Yield the files of processes that died. The caller holds the store's lock."""
    now = time.time()
    for path in parts.incoming.iterdir() if parts.incoming.is_dir() else ():
        age_s = _age_s(path, now)
        if path.is_dir():
            if not path.name.startswith("pull-") and age_s > ages.temporary:
                yield Leftover("temporary", path)
        elif path.suffix != ".lock" and age_s > ages.temporary:
            yield Leftover("temporary", path)
    for folder in (parts.cache / "views", parts.cache / "builds"):
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name.startswith((".new-", ".old-")) and _age_s(path, now) > ages.temporary:
                yield Leftover("temporary", path)


def unneeded(parts: Parts, ages: Ages, *, keeps_blobs: bool) -> Iterator[Leftover]:
    """Yield what no model needs. Nothing is yielded where a manifest cannot be read, because its needs are not known.

    The caller holds the store's lock.
    """
    try:
        models, named = parts.manifests.in_use()
    except StoreError:
        return  # `list` and `olpipe store verify` tell of it
    now = time.time()
    yield from _made(parts.cache, models, now, ages)
    yield from (Leftover("facts", path) for path in parts.chat_facts.of_others(models, before=now - ages.made))
    if keeps_blobs or parts.blobs.has_foreign_partials():
        return
    needed = named | parts.unfinished.blobs()
    for digest, touched_at in parts.blobs.entries():
        if digest not in needed and now - touched_at > ages.blob:
            yield Leftover("blob", parts.blobs.path(digest))


def replaced(parts: Parts) -> Iterator[Leftover]:
    """Yield conversions of earlier formats, those that a process left half-done, and facts about models that are gone.

    A pull does not remove them. The caller holds the store's lock.
    """
    builds = parts.cache / "builds"
    for model in sorted(builds.iterdir()) if builds.is_dir() else ():
        if not model.is_dir() or model.name.startswith("."):
            continue
        with _idle(model) as is_idle:
            for package in sorted(model.iterdir()) if is_idle else ():
                version = _PACKAGE.fullmatch(package.name)
                is_earlier = version is not None and (version[0][1] == "r" or int(version[1]) < FORMAT_VERSION)
                if package.name.endswith(_UNFINISHED) or is_earlier:
                    yield Leftover("conversion", package)
    yield from _finished(parts)
    damaged = parts.folder / DAMAGED
    yield from (Leftover("damaged", path) for path in (sorted(damaged.iterdir()) if damaged.is_dir() else ()))
    try:
        models, _ = parts.manifests.in_use()
    except StoreError:
        return
    for folder in (parts.folder / "findings", parts.folder / "origins"):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.suffix == ".json" and f"sha256:{path.stem}" not in models:
                yield Leftover("facts", path)


def _finished(parts: Parts) -> Iterator[Leftover]:
    """Yield the notes of pulls that have brought everything, and whose processes were killed right then."""
    with suppress(StoreError):
        _, named = parts.manifests.in_use()
        for pull in parts.unfinished.all():
            has_partials = any((parts.incoming / folder).is_dir() for folder in pull.partials)
            with trying_lock(parts.incoming / f"{partial_name(pull.source)}.lock") as is_idle:
                if is_idle and not has_partials and pull.blobs <= named:
                    yield Leftover("temporary", pull.path)


def _made(cache: Path, models: Collection[str], now: float, ages: Ages) -> Iterator[Leftover]:
    """Yield the views and conversions of models that are not here. Their pulls were cancelled or killed, or they left.

    What a process builds at this moment stays.
    """
    kinds: tuple[tuple[Kind, str], ...] = (("view", "views"), ("conversion", "builds"))
    for kind, name in kinds:
        folder = cache / name
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            is_model = path.is_dir() and not path.name.startswith(".")
            if is_model and f"sha256:{path.name}" not in models and _age_s(path, now) > ages.made:
                with _idle(cache / "builds" / path.name) as is_idle:
                    if is_idle:
                        yield Leftover(kind, path)


def _idle(build: Path) -> AbstractContextManager[bool]:
    """Hold the lock of a build, where nobody has it; say whether nobody builds."""
    lock = build.with_name(f"{build.name}.lock")
    return trying_lock(lock) if lock.exists() else nullcontext(True)


def _age_s(path: Path, now: float) -> float:
    """Return how old a file is; one that has just gone is young. A second name counts from when it was given."""
    try:
        found = path.lstat()
    except OSError:
        return 0.0
    return now - (found.st_ctime if stat.S_ISREG(found.st_mode) and found.st_nlink > 1 else found.st_mtime)
