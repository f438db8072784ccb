"""Refuse a model before its files are fetched, as far as its manifest and the headers of its files tell."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from olpipe.errors import DiskFull, ModelCorrupt, ModelUnsupported, nearest
from olpipe.interfaces import Backend
from olpipe.model import ModelBundle, ModelConfig, ModelName
from olpipe.registry import Registry
from olpipe.store.blobs import Blobs
from olpipe.store.build import backend_for
from olpipe.store.manifest import MAX_BYTES, Manifest, config_from_bytes, unusable
from olpipe.store.stored_model import layer_name
from olpipe.store.writing import new_folder

_GGUF = "gguf"
_ABSENT = "nothing-is-built-here"


def check_sizes(name: ModelName, manifest: Manifest, blobs: Blobs, folder: Path) -> None:
    """Check that there is space for what is missing, and that what is here has the size that the manifest says.

    Args:
        name: What the model will be called.
        manifest: Its manifest.
        blobs: The blobs that are here.
        folder: A folder on their file system.

    Raises:
        ModelCorrupt: A blob that is here has another size.
        DiskFull: There is not enough space.
    """
    missing = 0
    for digest, size in {layer.digest: layer.size for layer in (manifest.config, *manifest.layers)}.items():
        here = blobs.size(digest)
        if here is not None and here != size:
            message = f"`{name}` cannot be used: its manifest says that {digest} has {size} bytes, and it has {here}"
            raise ModelCorrupt(message, hint="pull it from elsewhere")
        missing += size if here is None else 0
    free = shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free
    if missing > free:
        raise DiskFull(
            f"`{name}` needs {missing / 1e9:.1f} GB, and `{folder}` has {free / 1e9:.1f} GB left",
            hint="free some space, or set OLPIPE_HOME or OLLAMA_MODELS to a folder with more",
        )


def check_runs(
    name: ModelName,
    manifest: Manifest,
    beginnings: Mapping[str, Path],
    blobs: Blobs,
    backends: Registry[Backend],
    *,
    folder: Path,
) -> None:
    """Check that a backend runs a GGUF model of which only the config and the beginnings of files are here.

    Args:
        name: What the model will be called.
        manifest: Its manifest.
        beginnings: Files that have their headers and are as long as they will be, by their digests.
        blobs: The blobs that are here.
        backends: All backends.
        folder: A folder on the file system of the files.

    Raises:
        ModelCorrupt: The config cannot be used.
        ModelUnsupported: No backend runs it.
    """
    try:
        config = config_from_bytes(blobs.read(manifest.config.digest, limit=MAX_BYTES), manifest.layers)
    except ValueError as error:
        raise unusable(name, error) from error
    named = {layer.digest: layer_name(layer, config) for layer in manifest.layers}
    if not any(named.values()):
        raise ModelUnsupported(
            f"`{name}` has no files of a model", hint="its layers have neither names nor the media types of models"
        )
    by_name: dict[str, str] = {}
    for layer in manifest.layers:
        file_name = named[layer.digest]
        if file_name and by_name.setdefault(file_name, layer.digest) != layer.digest:
            raise unusable(name, f"two files are called `{file_name}`")
        if not file_name and layer.size > MAX_BYTES:
            raise unusable(name, f"a layer of the type `{layer.media_type:.80}` has {layer.size} bytes and no name")
    if config.model_format != _GGUF:
        return
    check_architecture(name, config.model_family, backends)
    files = {named[digest]: path for digest, path in beginnings.items() if named.get(digest)}
    if files:
        _check_beginnings(name, config, files, folder, backends)


def check_architecture(name: ModelName, architecture: str, backends: Registry[Backend]) -> None:
    """Check that a backend runs an architecture of GGUF files, where all of them say which ones they run.

    Raises:
        ModelUnsupported: None does.
    """
    known: set[str] = set()
    for backend in backends:
        if backend.architectures is None:
            return
        known |= backend.architectures
    if architecture and architecture not in known:
        close = nearest(architecture, known)
        hint = f"the nearest that can be run is {' or '.join(f'`{one}`' for one in close)}; " if close else ""
        raise ModelUnsupported(
            f"`{name}` has the architecture `{architecture:.80}`, which no backend here can run",
            hint=f"{hint}these can be run: {', '.join(sorted(known))}{backends.not_loaded}",
        )


def _check_beginnings(
    name: ModelName, config: ModelConfig, files: Mapping[str, Path], folder: Path, backends: Registry[Backend]
) -> None:
    """Check that a backend runs a model, of whose GGUF files only the headers are here, by their names."""
    from olpipe.convert.gguf import read_header

    shown = new_folder(folder, "beginnings-")
    try:
        for file_name, path in files.items():
            target = shown.joinpath(*file_name.split("/"))
            target.parent.mkdir(parents=True, exist_ok=True)
            _second_name(path, target)
            try:
                architecture = read_header(target).architecture
            except (ModelCorrupt, ModelUnsupported):
                continue  # the backends say what is wrong
            check_architecture(name, architecture, backends)
        backend_for(ModelBundle(name, "", shown, shown / _ABSENT, config), backends)
    finally:
        shutil.rmtree(shown, ignore_errors=True)


def _second_name(path: Path, target: Path) -> None:
    try:
        os.link(path, target)
    except OSError:  # a file system without hard links
        target.symlink_to(path)
