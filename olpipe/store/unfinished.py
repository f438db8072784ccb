"""Which pulls are not finished, and what each has brought so far. What a pull has brought is kept until it is finished.

    <models>/unfinished/<32 hex digits>.jsonl

The first line names the model and its source. Each further line names a blob, or a folder for a part of one. Lines are
only ever added. So a process that is killed loses at most the last line, and one that goes on adds to what is there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from olpipe.model import ModelName
from olpipe.store import digests
from olpipe.store.writing import writing


@dataclass(frozen=True, slots=True)
class UnfinishedPull:
    """A pull that was begun and has not ended well.

    Attributes:
        model: What the model is to be called here.
        source: Where it comes from, as `olpipe pull` takes it: `SCHEME:REFERENCE`.
        blobs: The digests of the blobs that it counts on.
        partials: The names of the folders in which it has files that are not whole.
        path: The file that says all this.
    """

    model: str
    source: str
    blobs: frozenset[str]
    partials: frozenset[str]
    path: Path


class Note:
    """What a pull writes down about itself while it goes on."""

    def __init__(self, path: Path, known: UnfinishedPull | None) -> None:
        self._path = path
        self._known = set() if known is None else {*known.blobs, *known.partials}

    def add_blob(self, digest: str) -> None:
        """Keep a blob until the pull is finished, whether it is here by now or comes later."""
        self._add("blob", digest)

    def add_partial(self, folder: str) -> None:
        """Keep a folder until the pull is finished."""
        self._add("partial", folder)

    @property
    def is_empty(self) -> bool:
        """Whether the pull has brought nothing."""
        return not self._known

    def _add(self, kind: str, value: str) -> None:
        if value not in self._known:
            _append(self._path, {kind: value})
            self._known.add(value)


class UnfinishedPulls:
    """The unfinished pulls of one store."""

    def __init__(self, models: Path) -> None:
        """Use a store. Nothing is created before a pull begins.

        Args:
            models: The folder of the store.
        """
        self._incoming = models / "incoming"
        self._folder = models / "unfinished"

    def begin(self, model: ModelName, source: str) -> Note:
        """Write down that a pull begins, or goes on. The caller holds the lock of its source."""
        path = self._path(model, source)
        known = _read(path)
        if known is None:
            with writing(self._folder):
                self._folder.mkdir(parents=True, exist_ok=True)
                path.unlink(missing_ok=True)
                _append(path, {"model": str(model), "source": source})
        else:
            with writing(self._folder), path.open("ab") as file:
                file.write(b"\n")  # the last line may have been cut off
        return Note(path, known)

    def finish(self, model: ModelName, source: str) -> None:
        """Forget a pull, because it is finished or of no use. What it alone had of files that are not whole is removed.

        The caller holds the lock of its source.
        """
        path = self._path(model, source)
        found = _read(path)
        path.unlink(missing_ok=True)
        if found is not None:
            self._remove_partials(found)

    def all(self) -> list[UnfinishedPull]:
        """Return all of them, by model."""
        paths = sorted(self._folder.glob("*.jsonl")) if self._folder.is_dir() else []
        found = [pull for pull in map(_read, paths) if pull is not None]
        return sorted(found, key=lambda pull: (pull.model, pull.source))

    def blobs(self) -> set[str]:
        """Return the digests of the blobs that any of them counts on."""
        return {digest for pull in self.all() for digest in pull.blobs}

    def give_up(self, model: ModelName | None = None) -> list[UnfinishedPull]:
        """Forget the pulls of a model, or all of them, and return what was forgotten. One that goes on stays."""
        wanted = None if model is None else str(model).casefold()
        given_up = []
        for pull in self.all():
            if wanted in (None, pull.model.casefold()):
                with trying_lock(self._incoming / f"{partial_name(pull.source)}.lock") as is_held:
                    if is_held:
                        pull.path.unlink(missing_ok=True)
                        self._remove_partials(pull)
                        given_up.append(pull)
        return given_up

    def _remove_partials(self, pull: UnfinishedPull) -> None:
        """Remove the folders that only this pull named, where nobody works in them."""
        others = {folder for other in self.all() for folder in other.partials}
        for name in pull.partials - others:
            remove_partial(self._incoming / name)

    def _path(self, model: ModelName, source: str) -> Path:
        return self._folder / f"{short_name(f'{str(model).casefold()} {source}')}.jsonl"


def short_name(key: str) -> str:
    """Return a file name for any text; equal texts give equal names."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def partial_name(key: str) -> str:
    """Return the name of the folder in which a pull keeps what is not whole."""
    return f"pull-{short_name(key)}"


def blob_key(digest: str) -> str:
    """Return the key of the folder into which a blob comes part by part."""
    return f"blob:{digests.normalised(digest)}"


def remove_partial(folder: Path) -> bool:
    """Remove a folder with files that are not whole, unless a process works in it. Say whether it is gone."""
    with trying_lock(folder.with_name(f"{folder.name}.lock")) as is_held:
        if is_held:
            shutil.rmtree(folder, ignore_errors=True)
        return is_held


@contextmanager
def trying_lock(path: Path) -> Iterator[bool]:
    """Hold a lock while a block runs, where nobody has it at this moment; say whether it is held."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _append(path: Path, line: dict[str, str]) -> None:
    with writing(path.parent), path.open("ab") as file:
        file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")


def _read(path: Path) -> UnfinishedPull | None:
    """Read what a pull wrote down; None where that is nothing, or damaged at its beginning."""
    lines = []
    with suppress(OSError):
        for text in path.read_bytes().splitlines():
            with suppress(ValueError):  # a process was killed while it wrote
                lines.append(json.loads(text))
    entries = [line for line in lines if isinstance(line, dict)]
    if not entries or not all(isinstance(entries[0].get(key), str) for key in ("model", "source")):
        return None
    blobs = {line["blob"] for line in entries if isinstance(line.get("blob"), str)}
    partials = {os.path.basename(line["partial"]) for line in entries if isinstance(line.get("partial"), str)}
    partials = {name for name in partials if name.startswith("pull-")}
    return UnfinishedPull(entries[0]["model"], entries[0]["source"], frozenset(blobs), frozenset(partials), path)
