"""Read everything that is stored, and say what is damaged."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from olpipe.convert.architectures import PROJECTOR_FILE
from olpipe.errors import ModelCorrupt, ModelNotFound, ModelUnsupported, OlpipeError, StoreError
from olpipe.interfaces import Progress, ProgressCallback
from olpipe.model import MEDIA_TYPE, Layer, ModelConfig, ModelName
from olpipe.store import digests, stored_model
from olpipe.store.library import Library
from olpipe.store.manifest import Manifest
from olpipe.store.seal import build_bytes, faults_of
from olpipe.store.stored_model import StoredModel

_TEXTS = {
    "system": "its system message",
    "template": "its template",
    "params": "its parameters",
    "messages": "its messages",
    "license": "its licence",
    "card": "its model card",
}

Part = Literal["manifest", "blob", "file", "view", "conversion"]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong with a model.

    Attributes:
        part: What is damaged. `file` stands for a file whose bytes are right, and which cannot be read all the same.
        what: What is wrong with it, as one line.
        digest: The digest of the blob; empty where it is no blob.
    """

    part: Part
    what: str
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a model is.

    Attributes:
        name: Its name.
        faults: What is wrong with it; empty where nothing is.
    """

    name: ModelName
    faults: tuple[Fault, ...]

    def of(self, *parts: Part) -> list[Fault]:
        """Return what is wrong with some parts."""
        return [fault for fault in self.faults if fault.part in parts]

    @property
    def advice(self) -> str:
        """What to do; empty where nothing is wrong."""
        if not self.faults:
            return ""
        return (
            f"run `olpipe rm {self.name}`, then pull it again"
            if self.of("file")
            else f"run `olpipe store repair {self.name}`"
        )


@dataclass(frozen=True, slots=True)
class Verified:
    """How a store is.

    Attributes:
        models: One verdict for each model, by name.
        unneeded: The digests of damaged blobs that no model needs.
        blobs: How many blobs were read.
        size_bytes: How many bytes were read.
    """

    models: tuple[Verdict, ...]
    unneeded: tuple[str, ...]
    blobs: int
    size_bytes: int

    @property
    def is_sound(self) -> bool:
        """Whether nothing is damaged."""
        return not self.unneeded and not any(model.faults for model in self.models)


def verify(library: Library, names: Sequence[ModelName] | None, progress: ProgressCallback) -> Verified:
    """Read blobs, files that are laid out and conversions. Nothing is changed, so a store may be read-only.

    Args:
        library: The store.
        names: The models; None for all, and for the blobs that none of them needs.
        progress: Told how many bytes were read. An exception that it raises ends the check.

    Raises:
        ModelNotFound: There is no model of one of the names.
    """
    if names is not None:
        for name in names:
            if library.manifests.spelling(name) not in library.names():
                raise library.manifests.not_found(name)
    wanted = library.names() if names is None else [library.manifests.spelling(name) for name in names]
    reader = _Reader(library, progress)
    others = reader.expect(dict.fromkeys(wanted), with_others=names is None)
    verdicts = [verdict for name in dict.fromkeys(wanted) if (verdict := _verdict(library, name, reader)) is not None]
    damaged = [digest for digest in others if reader.fault(digest) and library.blobs.size(digest) is not None]
    return Verified(tuple(verdicts), tuple(damaged), reader.blobs, reader.size_bytes)


def _verdict(library: Library, name: ModelName, reader: _Reader) -> Verdict | None:
    """Check a model; None where it was removed meanwhile. One that was replaced meanwhile is checked again."""
    before: tuple[Fault, ...] | None = None
    while True:
        try:
            faults = tuple(_faults(library, name, reader))
        except ModelNotFound:
            return None
        if not faults or faults == before:
            return Verdict(name, faults)
        before = faults


def _faults(library: Library, name: ModelName, reader: _Reader) -> list[Fault]:
    """Return what is wrong with a model.

    Raises:
        ModelNotFound: It has been removed.
    """
    try:
        found = library.manifests.read(name)
    except StoreError as error:
        return [Fault("manifest", f"its manifest cannot be read: {_reason(error, name)}")]
    of_blobs = _of_layers(library, found.manifest, reader)
    of_build = [
        Fault("conversion", f"in its conversion, {what}")
        for what in faults_of(library.made(found.digest)[1], reader.count)
    ]
    if of_blobs:
        return [*of_blobs, *of_build]
    try:
        model = library.describe(name)
    except StoreError as error:
        return [Fault("file", f"its config cannot be used: {_reason(error, name)}"), *of_build]
    return [*_of_files(library, model), *_of_view(library, model), *of_build]


def _reason(error: OlpipeError, name: ModelName) -> str:
    return error.message.removeprefix(f"model `{name}` is damaged: ")


def _of_layers(library: Library, manifest: Manifest, reader: _Reader) -> list[Fault]:
    """Return the blobs that are missing, of a wrong size, or of wrong bytes."""
    called = {layer.digest: _called(layer) for layer in reversed(manifest.layers)}
    called[manifest.config.digest] = "its config"
    found = []
    for layer in {layer.digest: layer for layer in (manifest.config, *manifest.layers)}.values():
        size = library.blobs.size(layer.digest)
        if size is None:
            reason = "is missing"
        elif size != layer.size:
            reason = f"has {size} bytes, not {layer.size}"
        else:
            reason = reader.fault(layer.digest)
        if reason:
            what = f"{called[layer.digest]} {reason} (blob {layer.digest[:19]})"
            found.append(Fault("blob", what, layer.digest))
    return found


def _called(layer: Layer) -> str:
    """Return how people call a layer."""
    name = stored_model.layer_name(layer, ModelConfig(model_format="gguf"))
    return f"`{name}`" if name else _TEXTS.get(layer.media_type.removeprefix(MEDIA_TYPE), "a layer")


def _of_files(library: Library, model: StoredModel) -> list[Fault]:
    """Return the files whose bytes are right, and which are not what they should be."""
    from olpipe.convert.gguf import read_header

    found = []
    try:
        files = stored_model.files(model, library.blobs)
        stored_model.bundle(model, library.blobs, view=library.cache, cache=library.cache)
    except (OSError, ValueError) as error:
        return [Fault("file", str(error))]
    for name, (path, _) in files.items():
        try:
            if name.endswith(".gguf") or name == PROJECTOR_FILE:
                read_header(path)
            elif name.endswith("_config.json") or name == "config.json":
                json.loads(path.read_bytes())
        except (ModelCorrupt, ModelUnsupported) as error:
            found.append(Fault("file", error.message.replace(str(path), name)))
        except (ValueError, RecursionError):
            found.append(Fault("file", f"`{name}` is not JSON"))
    return found


def _of_view(library: Library, model: StoredModel) -> list[Fault]:
    """Return what is wrong with the files as they are laid out; nothing where they are not laid out."""
    view, _ = library.made(model.digest)
    for name, (blob, size) in stored_model.files(model, library.blobs).items() if view.is_dir() else ():
        path = view.joinpath(*name.split("/"))
        if not path.is_file() or path.stat().st_size != size:
            return [Fault("view", f"`{name}` is missing or cut short among the files that are laid out")]
        if not os.path.samefile(path, blob) and digests.of_file(path) != digests.normalised(f"sha256:{blob.name[7:]}"):
            return [Fault("view", f"`{name}` was changed among the files that are laid out")]
    return []


class _Reader:
    """Reads each blob once, and remembers what is wrong with it."""

    def __init__(self, library: Library, progress: ProgressCallback) -> None:
        self._library = library
        self._progress = progress
        self._faults: dict[str, str] = {}
        self._total = self._done = self._now = 0
        self.blobs = self.size_bytes = 0

    def expect(self, names: Iterable[ModelName], *, with_others: bool) -> list[str]:
        """Count what will be read of some models, and, if wanted, of the blobs that none needs. Return the latter."""
        needed: set[str] = set()
        for name in names:
            with suppress(ModelNotFound, StoreError):  # the check of the model says so
                found = self._library.manifests.read(name)
                needed |= found.manifest.blob_digests
                self._total += build_bytes(self._library.made(found.digest)[1])
        others = [digest for digest, _ in self._library.blobs.entries() if digest not in needed] if with_others else []
        self._total += sum(self._library.blobs.size(digest) or 0 for digest in (*needed, *others))
        return others

    def fault(self, digest: str) -> str:
        """Read a blob, and return what is wrong with it in a few words; empty where nothing is."""
        if digest not in self._faults:
            self.count(0)
            try:
                with self._library.blobs.path(digest).open("rb") as file:
                    found, size = digests.read(file, self.count)
                self._faults[digest] = "" if found == digest else "has wrong bytes"
                self.blobs, self.size_bytes = self.blobs + 1, self.size_bytes + size
            except FileNotFoundError:
                return "is missing"
            except OSError as error:
                self._faults[digest] = f"cannot be read ({error.strerror})"
        return self._faults[digest]

    def count(self, done: int) -> None:
        """Take in how many bytes of the file at hand were read. 0 says that a file begins."""
        self._done += done - self._now if done else 0
        self._now = done
        self._progress(Progress("verifying", min(self._done, self._total), self._total))
