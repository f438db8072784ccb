"""Put what a source brought into the store: a GGUF file, or a folder with an ONNX Runtime GenAI package."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from olpipe.errors import InvalidName, PullFailed
from olpipe.interfaces import ModelStore, Progress, ProgressCallback
from olpipe.model import MEDIA_TYPE, ModelConfig, ModelName
from olpipe.store.layer_names import check_layer_name
from olpipe.store.manifest import MAX_BYTES
from olpipe.store.package_checks import CONFIG_NAME, check_package, read_config

GGUF_LAYER = "model.gguf"
"""What a GGUF file is called in its model's folder: its own name would change the model's digest."""

_LICENSE = re.compile(r"(licen[cs]e|copying)([._-].*)?", re.IGNORECASE)


def add_package(path: Path, name: ModelName, store: ModelStore, progress: ProgressCallback) -> None:
    """Store a GGUF file or a package's folder under a name.

    Raises:
        PullFailed: It is neither, or a package that reaches out of its folder.
        ModelCorrupt: A GGUF file that is damaged.
    """
    if path.is_dir():
        _add_folder(path, name, store, progress)
    elif path.is_file():
        config = gguf_config(path)  # before the copy: a damaged header is found at once
        layer = replace(store.add_file(path, progress=progress), name=GGUF_LAYER)
        progress(Progress("writing manifest"))
        store.commit(name, config, [layer])
    else:
        raise PullFailed(f"`{path}` is neither a file nor a folder", hint="name a .gguf file or a package's folder")


def gguf_config(path: Path) -> ModelConfig:
    """Describe a GGUF file by its header.

    Raises:
        ModelCorrupt: It is not a GGUF file, or a damaged one.
    """
    from olpipe.convert.architectures import FORMAT_VERSION
    from olpipe.convert.gguf import read_header

    header = read_header(path)
    return ModelConfig(
        model_format="gguf",
        model_family=header.architecture,
        model_type=count_words(header.parameter_count),
        file_type=header.file_type,
        context_length=header.context_length,
        embedding_length=header.embedding_length,
        conversion={"format": FORMAT_VERSION, "precision": "int4"},
    )


def count_words(parameters: int) -> str:
    """Write a number of parameters as Ollama does: `134.52M`, `8.0B`."""
    for unit, size, places in (("B", 10**9, 1), ("M", 10**6, 2), ("K", 10**3, 0)):
        if parameters >= size:
            return f"{parameters / size:.{0 if parameters % size == 0 else places}f}{unit}"
    return str(parameters)


def name_from(text: str) -> ModelName:
    """Make a model name of a file's or a distribution's name.

    Raises:
        InvalidName: Nothing of it can stand in a name.
    """
    word = re.sub(r"[^a-z0-9_.-]+", "-", text.lower()).strip("-.")[:80]
    if not word:
        raise InvalidName(f"`{text}` cannot be made a model name", hint="give one with `--name`")
    return ModelName.parse(word)


def _add_folder(folder: Path, name: ModelName, store: ModelStore, progress: ProgressCallback) -> None:
    if not (folder / CONFIG_NAME).is_file():
        raise PullFailed(f"`{folder}` has no `{CONFIG_NAME}`", hint="name a .gguf file or a package's folder")
    try:
        check_package(folder)
        files = _files(folder)
        config = _folder_config(read_config(folder))
    except ValueError as error:
        raise PullFailed(f"`{folder}` is not a package that can be used: {error}") from error
    layers = []
    for layer_name, path in files.items():
        layer = store.add_file(path, progress=progress)
        kind = "license" if _is_license(path) else "model"
        layers.append(replace(layer, name=layer_name, media_type=MEDIA_TYPE + kind))
    progress(Progress("writing manifest"))
    store.commit(name, config, layers)


def _files(folder: Path) -> dict[str, Path]:
    """Return every file of a folder by its layer name, in order; hidden ones are left out."""
    root = folder.resolve()
    files: dict[str, Path] = {}
    for parent, folders, names in os.walk(root):
        linked = [entry for entry in folders if (Path(parent) / entry).is_symlink()]
        folders[:] = [entry for entry in folders if not entry.startswith(".")]
        for entry in [*names, *linked]:
            path = Path(parent) / entry
            if entry.startswith("."):
                continue
            if not path.is_file() or not path.resolve().is_relative_to(root):
                raise ValueError(f"`{path.relative_to(root)}` is a link out of the folder, or no regular file")
            files[check_layer_name(path.relative_to(root).as_posix())] = path
    return dict(sorted(files.items()))


def _folder_config(genai: Mapping[str, Any]) -> ModelConfig:
    model = _table(genai, "model")
    decoder = _table(model, "decoder")
    family, context, width = model.get("type"), model.get("context_length"), decoder.get("hidden_size")
    return ModelConfig(
        model_format="onnx",
        model_family=family if isinstance(family, str) else "",
        context_length=context if isinstance(context, int) and context > 0 else 0,
        embedding_length=width if isinstance(width, int) and width > 0 else 0,
        capabilities=("completion", "vision") if "vision" in model else ("completion",),
    )


def _table(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    entry = value.get(key)
    if not isinstance(entry, dict):
        raise ValueError(f"`{CONFIG_NAME}` has no `{key}`")
    return entry


def _is_license(path: Path) -> bool:
    if not _LICENSE.fullmatch(path.name) or path.stat().st_size > MAX_BYTES:
        return False
    try:
        path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return False
    return True
