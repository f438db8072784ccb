"""Refuse a model before its files are fetched, as far as its manifest and the headers of its files tell."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from olpipe.convert.architectures import PROJECTOR_FILE
from olpipe.errors import ModelCorrupt, ModelUnsupported, nearest
from olpipe.interfaces import Backend
from olpipe.model import ModelBundle, ModelConfig, ModelName
from olpipe.registry import Registry
from olpipe.store.blobs import Blobs
from olpipe.store.build import backend_for
from olpipe.store.disk import used
from olpipe.store.manifest import MAX_BYTES, Manifest, config_from_bytes, unusable
from olpipe.store.package_checks import CONFIG_NAME
from olpipe.store.space import check_space
from olpipe.store.stored_model import layer_name
from olpipe.store.unfinished import blob_key, partial_name
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
        missing += size - used(folder / partial_name(blob_key(digest))) if here is None else 0
    check_space(f"`{name}`", missing, folder)


def check_runs(
    name: ModelName,
    manifest: Manifest,
    beginnings: Mapping[str, Path],
    blobs: Blobs,
    backends: Registry[Backend],
    *,
    folder: Path,
) -> None:
    """Check that a backend runs a model of which only the config and the beginnings of files are here.

    Args:
        name: What the model will be called.
        manifest: Its manifest.
        beginnings: By their digests, GGUF files that have their headers and are as long as they will be, or the
            configuration of a package.
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
    if config.model_format == _GGUF:
        check_architecture(name, config.model_family, backends)
    files = {named[digest]: path for digest, path in beginnings.items() if named.get(digest)}
    if files and (config.model_format == _GGUF or CONFIG_NAME in files):
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
    """Check that a backend runs a model, of whose files only the headers or the configuration are here."""
    from olpipe.convert.gguf import read_header

    shown = new_folder(folder, "beginnings-")
    try:
        for file_name, path in files.items():
            target = shown.joinpath(*file_name.split("/"))
            target.parent.mkdir(parents=True, exist_ok=True)
            second_name(path, target)
            if config.model_format != _GGUF or file_name == PROJECTOR_FILE:
                continue
            try:
                architecture = read_header(target).architecture
            except (ModelCorrupt, ModelUnsupported):
                continue  # the backends say what is wrong
            check_architecture(name, architecture, backends)
        backend_for(ModelBundle(name, "", shown, shown / _ABSENT, config), backends)
    finally:
        shutil.rmtree(shown, ignore_errors=True)


def second_name(path: Path, target: Path) -> None:
    """Give a file a second name, without a copy of its bytes."""
    try:
        os.link(path, target)
    except OSError:  # a file system without hard links
        target.symlink_to(path)
