"""Remove what nobody needs, where somebody asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from olpipe.errors import StoreError
from olpipe.store.disk import freed_by, used
from olpipe.store.leftovers import ASKED, Kind, Leftover, replaced, temporaries, unneeded
from olpipe.store.library import Library
from olpipe.store.unfinished import UnfinishedPull, remove_partial


@dataclass(frozen=True, slots=True)
class Download:
    """An unfinished download.

    Attributes:
        model: The model; empty where that is not known.
        source: Where it comes from; empty where that is not known.
        path: What forgetting it removes: its note, or a folder that no note names.
        folders: The folders with what is not whole.
        size_bytes: How much of the disk it takes, with the whole blobs that only it counts on.
    """

    model: str
    source: str
    path: Path
    folders: tuple[Path, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What can be removed.

    Attributes:
        leftovers: What nobody needs.
        freed_bytes: How many bytes of the disk the removal frees.
        notes: Why something stays, one line each.
    """

    leftovers: tuple[Leftover, ...]
    freed_bytes: int
    notes: tuple[str, ...]

    def of(self, kind: Kind) -> list[Leftover]:
        """Return what is of a kind."""
        return [leftover for leftover in self.leftovers if leftover.kind == kind]


def plan(library: Library) -> Plan:
    """Return what nobody needs. Nothing is removed."""
    if not library.folder.is_dir() and not library.cache.is_dir():
        return Plan((), 0, ())
    with library.changing():
        return _plan(library)


def prune(library: Library) -> Plan:
    """Remove what nobody needs, and return what was removed."""
    if not library.folder.is_dir() and not library.cache.is_dir():
        return Plan((), 0, ())
    with library.changing():
        found = _plan(library)
        for leftover in found.leftovers:
            leftover.remove()
    return found


def downloads(library: Library) -> list[Download]:
    """Return all unfinished downloads, the largest first."""
    pulls = library.unfinished.all()
    try:
        _, named = library.manifests.in_use()
    except StoreError:
        named = set().union(*(pull.blobs for pull in pulls)) if pulls else set()
    known = {folder for pull in pulls for folder in pull.partials}
    found = [download for pull in pulls if (download := _download(library, pull, named)).size_bytes]
    for folder in sorted(library.incoming.glob("pull-*")):
        if folder.is_dir() and folder.name not in known and (size := used(folder)):
            found.append(Download("", "", folder, (folder,), size))
    return sorted(found, key=lambda download: -download.size_bytes)


def give_up(library: Library) -> list[Download]:
    """Give up all unfinished downloads that no process works on, with all that they brought, and return them."""
    before = downloads(library)
    gone = {pull.path for pull in library.give_up()}
    return [one for one in before if one.path in gone or (not one.model and remove_partial(one.path))]


def _download(library: Library, pull: UnfinishedPull, named: set[str]) -> Download:
    folders = tuple(library.incoming / name for name in sorted(pull.partials))
    blobs = [library.blobs.path(digest) for digest in sorted(pull.blobs - named)]
    return Download(pull.model, pull.source, pull.path, folders, sum(map(used, (*folders, *blobs))))


def _plan(library: Library) -> Plan:
    parts = library.parts
    found: list[Leftover] = [
        *temporaries(parts, ASKED),
        *unneeded(parts, ASKED, keeps_blobs=library.keeps_blobs),
        *replaced(parts),
    ]
    unique = tuple({leftover.path: leftover for leftover in found}.values())
    return Plan(unique, freed_by([leftover.path for leftover in unique]), tuple(_notes(library, unique)))


def _notes(library: Library, found: Sequence[Leftover]) -> list[str]:
    """Say why blobs stay that no model needs."""
    try:
        _, named = library.manifests.in_use()
    except StoreError as error:
        return [f"blobs stay, because it is not known which are needed: {error.message}"]
    needed = named | library.unfinished.blobs()
    going = {leftover.path for leftover in found}
    staying = [digest for digest, _ in library.blobs.entries() if digest not in needed]
    staying = [digest for digest in staying if library.blobs.path(digest) not in going]
    if not staying:
        return []
    is_one = len(staying) == 1
    blobs = "1 blob that no model needs stays" if is_one else f"{len(staying)} blobs that no model needs stay"
    if library.keeps_blobs:
        return [f"{blobs}, because OLLAMA_NOPRUNE is set"]
    if library.blobs.has_foreign_partials():
        return [f"{blobs}, because Ollama has not finished a download into this folder"]
    return [f"{blobs}, because {'it' if is_one else 'they'} came less than an hour ago"]
