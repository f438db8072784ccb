"""Take models over from a folder in which Ollama keeps its own. Nothing there is changed.

The two have the same layout. So a manifest stays as it is, and a blob gets a second name here, or shares its blocks.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from olpipe.errors import ModelNotFound, OlpipeError, StoreError, UsageError
from olpipe.interfaces import Backend, Progress, ProgressCallback
from olpipe.model import Layer, ModelName
from olpipe.registry import Registry
from olpipe.store import stored_model
from olpipe.store.blobs import Blobs
from olpipe.store.early_checks import check_runs
from olpipe.store.library import Library
from olpipe.store.manifest import MAX_BYTES, config_from_bytes, config_value
from olpipe.store.manifests import ManifestFile, Manifests
from olpipe.store.package_checks import CONFIG_NAME
from olpipe.store.space import check_space

USUAL_FOLDERS = (
    "~/.ollama/models",
    "/usr/share/ollama/.ollama/models",
    "/var/lib/ollama/.ollama/models",
    "/var/lib/ollama/models",
    "/var/snap/ollama/common/models",
)
"""Where Ollama keeps its models, unless it is told otherwise."""


@dataclass(frozen=True, slots=True)
class OllamaModel:
    """A model that Ollama has.

    Attributes:
        name: Its name.
        digest: The digest of its manifest; empty where that cannot be read.
        size_bytes: The size of its files.
        trouble: Why it cannot be taken over; empty where it can.
        is_here: Whether the same model is in the store already, under the same name.
    """

    name: ModelName
    digest: str
    size_bytes: int
    trouble: str = ""
    is_here: bool = False


class OllamaFolder:
    """A folder of Ollama's."""

    def __init__(self, folder: Path) -> None:
        """Use a folder.

        Raises:
            UsageError: It is no folder of Ollama's.
        """
        self.folder = folder
        if not (folder / "manifests").is_dir() or not (folder / "blobs").is_dir():
            raise UsageError(
                f"`{folder}` is no folder of Ollama's models: it has no folders `manifests` and `blobs`",
                hint="name the folder that OLLAMA_MODELS of Ollama names, such as `~/.ollama/models`",
            )
        self._manifests = Manifests(folder / "manifests", incoming=folder)
        self._blobs = Blobs(folder / "blobs", incoming=folder, lock=FileLock(os.devnull))

    def models(self, library: Library, backends: Registry[Backend]) -> Iterator[OllamaModel]:
        """Yield what Ollama has, by name, and say of each model whether it can be taken over.

        Args:
            library: Where it would go.
            backends: What would run it.
        """
        for name in self._manifests.names():
            try:
                found = self._manifests.read(name)
            except ModelNotFound:
                continue
            except StoreError as error:
                yield OllamaModel(name, "", 0, error.message)
                continue
            here = self._here(found, library)
            trouble = "" if here else self._trouble(found, library, backends)
            yield OllamaModel(name, found.digest, found.size_bytes, trouble, is_here=here)

    def take(self, model: OllamaModel, library: Library, progress: ProgressCallback, *, copies: bool) -> None:
        """Take a model over under its name.

        Args:
            model: The model.
            library: Where it goes.
            progress: Told how many bytes were checked.
            copies: Whether files may be copied.

        Raises:
            DigestMismatch: A file of Ollama's is damaged.
            StoreError: A file can be neither linked nor shared, and may not be copied.
            DiskFull: There is no space for a copy.
        """
        found = self._manifests.read(model.name)
        layers = {layer.digest: layer for layer in (found.manifest.config, *found.manifest.layers)}
        if copies:
            missing = sum(layer.size for layer in layers.values() if library.blobs.size(layer.digest) is None)
            check_space(f"a copy of `{model.name}`", missing, library.folder)
        for layer in layers.values():
            if not library.has(layer.digest):
                path = self._blobs.path(layer.digest)
                library.blobs.adopt(path, layer.digest, copies=copies, report=_telling(layer, progress))
        library.commit_manifest(model.name, found.data)

    def _here(self, found: ManifestFile, library: Library) -> bool:
        try:
            return library.digest(found.name) == found.digest
        except OlpipeError:
            return False

    def _trouble(self, found: ManifestFile, library: Library, backends: Registry[Backend]) -> str:
        """Return why a model cannot be taken over; empty where it can."""
        if library.manifests.spelling(found.name) in library.names():
            return f"another model has this name here: run `olpipe rm {found.name}` first"
        for layer in (found.manifest.config, *found.manifest.layers):
            if self._blobs.size(layer.digest) != layer.size:
                return f"it is damaged: the blob {layer.digest[:19]} is missing or cut short"
        try:
            written = self._blobs.read(found.manifest.config.digest, limit=MAX_BYTES)
            host = config_value(written).get("remote_host")
            if host:
                return f"it runs on `{host!s:.80}`, and not on this machine"
            config = config_from_bytes(written, found.manifest.layers)
        except (OSError, ValueError) as error:
            return f"its config cannot be used: {error}"
        telling = {}
        for layer in found.manifest.layers:
            name = stored_model.layer_name(layer, config)
            if name.endswith(".gguf") or name == CONFIG_NAME:
                telling[layer.digest] = self._blobs.path(layer.digest)
        try:
            with tempfile.TemporaryDirectory(prefix="olpipe-") as folder:
                check_runs(found.name, found.manifest, telling, self._blobs, backends, folder=Path(folder))
        except OlpipeError as error:
            return error.message
        return ""


def usual_folder() -> Path:
    """Return the first usual folder of Ollama's that is there.

    Raises:
        UsageError: None is.
    """
    for text in USUAL_FOLDERS:
        path = Path(text).expanduser()
        with suppress(OSError):  # a folder of another user
            if (path / "manifests").is_dir():
                return path
    raise UsageError("Ollama has no models in its usual folders", hint="name the folder: `olpipe store import FOLDER`")


def ollama_models(folder: Path, library: Library, backends: Registry[Backend]) -> list[OllamaModel]:
    """Return the models in a folder of Ollama's, by name.

    Raises:
        UsageError: It is no folder of Ollama's.
    """
    return list(OllamaFolder(folder).models(library, backends))


def _telling(layer: Layer, progress: ProgressCallback) -> Callable[[int], None]:
    return lambda done: progress(Progress(f"checking {layer.digest[7:19]}", done, layer.size, digest=layer.digest))
