"""Manifest files by model name: `<folder>/<host>/<namespace>/<model>/<tag>`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from olpipe.errors import InvalidName, ModelNotFound, StoreError, nearest
from olpipe.model import DEFAULT_TAG, ModelName
from olpipe.store import digests
from olpipe.store.manifest import MAX_BYTES, Manifest
from olpipe.store.writing import new_file

_DEPTH = 4


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """A manifest as it was read.

    Attributes:
        name: The model's name, spelt as it is stored.
        data: The file's bytes.
        modified_at: When it was written, seconds since the epoch.
        manifest: What it says.
    """

    name: ModelName
    data: bytes = field(repr=False)
    modified_at: float
    manifest: Manifest

    @property
    def digest(self) -> str:
        """The model's digest: `sha256:…` of the file's bytes."""
        return digests.of_bytes(self.data)

    @property
    def size_bytes(self) -> int:
        """Size of all that the manifest names."""
        return self.manifest.size_bytes


def damaged(name: ModelName, reason: object) -> StoreError:
    """Return the error for a model whose files on this machine cannot be used."""
    hint = f"run `olpipe store repair {name}`, or remove it with `olpipe rm {name}`"
    return StoreError(f"model `{name}` is damaged: {reason}", hint=hint)


def not_found(name: ModelName, known: Iterable[str]) -> ModelNotFound:
    """Return the error for a name that no model has, with those of the known names that are like it."""
    close = nearest_models(str(name), list(known))
    hint = f"did you mean {' or '.join(f'`{match}`' for match in close)}?" if close else "`olpipe list` shows all"
    return ModelNotFound(f"model `{name}` is not on this machine", hint=hint)


class Manifests:
    """The manifests of one store. The caller holds the store's lock while it writes or removes."""

    def __init__(self, folder: Path, *, incoming: Path) -> None:
        """Use a folder of manifests. New ones are first written in `incoming`, which is on the same file system."""
        self.folder = folder
        self._incoming = incoming

    def names(self) -> list[ModelName]:
        """Return every name that has a file, readable or not, in order."""
        return sorted(_names_below(self.folder, ()))

    def spelling(self, name: ModelName) -> ModelName:
        """Return a stored name that differs only in letter case, or else the name itself."""
        if self._path(name).is_file():
            return name
        folded = str(name).casefold()
        return next((known for known in self.names() if str(known).casefold() == folded), name)

    def read(self, name: ModelName) -> ManifestFile:
        """Read a manifest.

        Raises:
            ModelNotFound: There is none of that name.
            StoreError: The manifest is damaged.
        """
        name = self.spelling(name)
        try:
            data, modified_at = self._bytes(name)
            return ManifestFile(name, data, modified_at, Manifest.from_bytes(data))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise self.not_found(name) from error
        except (OSError, ValueError) as error:
            raise damaged(name, error) from error

    def write(self, name: ModelName, data: bytes) -> None:
        """Put a manifest in place atomically. A stored name that differs only in letter case keeps its spelling."""
        path = self._path(self.spelling(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = new_file(self._incoming, "manifest-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def remove(self, name: ModelName) -> None:
        """Remove a manifest, and the folders that are empty then.

        Raises:
            ModelNotFound: There is none of that name.
        """
        path = self._path(self.spelling(name))
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise self.not_found(name) from error
        with suppress(OSError):
            for parent in path.parents[: _DEPTH - 1]:
                parent.rmdir()

    def in_use(self) -> tuple[set[str], set[str]]:
        """Return the digests of all models and of all blobs that they name.

        Raises:
            StoreError: A manifest cannot be read, so what it names is not known.
        """
        models: set[str] = set()
        blobs: set[str] = set()
        for name in self.names():
            try:
                found = self.read(name)
            except ModelNotFound:
                continue  # removed by another program since it was listed
            models.add(found.digest)
            blobs |= found.manifest.blob_digests
        for path in self._others():
            with suppress(OSError, ValueError):  # what is no manifest needs nothing
                blobs |= Manifest.from_bytes(_read(path)).blob_digests
        return models, blobs

    def _others(self) -> Iterator[Path]:
        """Yield what is no name's file here. Another program may have manifests elsewhere, or behind links."""
        known = {self._path(name) for name in self.names()}
        for folder, _, files in os.walk(self.folder):
            for file in files:
                path = Path(folder, file)
                if path not in known and path.is_file():
                    yield path

    def not_found(self, name: ModelName) -> ModelNotFound:
        """Return the error for a name that has no manifest."""
        return not_found(name, map(str, self.names()))

    def _path(self, name: ModelName) -> Path:
        return self.folder / name.host / name.namespace / name.model / name.tag

    def _bytes(self, name: ModelName) -> tuple[bytes, float]:
        with self._path(name).open("rb") as file:
            return file.read(MAX_BYTES + 1), os.fstat(file.fileno()).st_mtime


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _names_below(folder: Path, parts: tuple[str, ...]) -> Iterator[ModelName]:
    """Yield the names of the files four levels down. Links are not followed; a path that is no name is left out."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        path = (*parts, entry.name)
        if len(path) < _DEPTH and entry.is_dir(follow_symlinks=False):
            yield from _names_below(Path(entry.path), path)
        elif len(path) == _DEPTH and entry.is_file(follow_symlinks=False):
            with suppress(InvalidName):
                yield ModelName.parse(f"{path[0]}/{path[1]}/{path[2]}:{path[3]}")


def nearest_models(text: str, names: Iterable[str]) -> list[str]:
    """Return the most similar names of models. Those of the same model with another tag come first.

    The default tag is not compared: it would count for more than a short name.
    """
    usual = f":{DEFAULT_TAG}"
    shortened = {name.removesuffix(usual): name for name in names}
    wanted = text.removesuffix(usual)
    same = [short for short in shortened if _untagged(short).lower() == _untagged(wanted).lower()]
    return [shortened[match] for match in dict.fromkeys([*same, *nearest(wanted, shortened)])][:3]


def _untagged(name: str) -> str:
    folders, slash, model = name.rpartition("/")
    return folders + slash + model.partition(":")[0]
