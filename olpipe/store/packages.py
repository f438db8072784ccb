"""Put what a source brought into the store: a GGUF file, or a folder.

A folder holds a package of ONNX Runtime GenAI, or a model as Hugging Face lays it out: `config.json` beside
`model.safetensors`, or beside an index and the files that it names. Of the latter only weights, settings and texts are
stored, never code or pickled objects. Or it holds the GGUF file of a text model with that of its projector. Of this
only these two and licences are stored.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
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
"""What every GGUF file is called in its model's folder: with its own name in it, the model's digest would change."""

_STORED_SUFFIXES = frozenset({".json", ".safetensors", ".txt", ".model", ".jinja", ".md"})
"""Which files of a folder of Hugging Face are stored, besides licences."""

_WHAT_TO_NAME = "name a .gguf file or a package's folder"
_CARD = "README.md"
_LICENSE = re.compile(r"(licen[cs]e|copying)([._-].*)?", re.IGNORECASE)


def add_package(
    path: Path,
    name: ModelName,
    store: ModelStore,
    progress: ProgressCallback,
    *,
    move: bool = False,
    projector: Path | None = None,
) -> None:
    """Store a GGUF file or a model's folder under a name.

    Args:
        path: The file or the folder.
        name: What to call the model here.
        store: Where it goes.
        progress: Told about every step.
        move: Whether the store may move the files instead of copying them. A source may say so of what it unpacked.
        projector: The GGUF file of the vision encoder, where the path is a GGUF file without one.

    Raises:
        PullFailed: The path is neither, or the folder has a link that leads out of it, or files do not belong together.
        ModelCorrupt: The header or the configuration is damaged.
    """
    if path.is_dir():
        if projector is not None:
            message = f"`{path}` is a folder, and a projector is named beside a GGUF file"
            raise PullFailed(message, hint="name the GGUF file of the text model")
        _add_folder(path, name, store, progress, move=move)
    elif path.is_file():
        config = gguf_config(path, projector)  # before the copy: a damaged header is found at once
        _add_files(_gguf_layers(path, projector), config, name, store, progress, move=move)
    else:
        raise PullFailed(f"`{path}` is neither a file nor a folder", hint=_WHAT_TO_NAME)


def gguf_config(path: Path, projector: Path | None = None) -> ModelConfig:
    """Describe a GGUF file by its header.

    Args:
        path: The text model, which may have a vision encoder in it.
        projector: Its vision encoder where that is a file of its own.

    Raises:
        PullFailed: The file is a projector and no text model, or the projector does not fit it.
        ModelCorrupt: A file is damaged, or is not a GGUF file.
    """
    from olpipe.convert.gguf import read_header
    from olpipe.convert.vision_file import has_vision
    from olpipe.store.vision import check_projector, is_projector

    header = read_header(path)
    if is_projector(header):
        message = f"`{path.name}` is a vision encoder, and no text model"
        raise PullFailed(message, hint="name the text model, and this file behind `--projector`")
    embeds = f"{header.architecture}.pooling_type" in header.metadata
    if projector is not None:
        if embeds:
            raise PullFailed(
                f"`{path.name}` makes embeddings, so it takes no projector", hint="leave the projector out"
            )
        check_projector(projector, header)
    writes = ("completion", "vision") if projector is not None or has_vision(header) else ("completion",)
    return ModelConfig(
        model_format="gguf",
        model_family=header.architecture,
        model_type=count_words(header.parameter_count),
        file_type=header.file_type,
        context_length=header.context_length,
        embedding_length=header.embedding_length,
        capabilities=("embedding",) if embeds else writes,
        conversion={} if embeds else {"precision": "int4"},
    )


def count_words(parameters: int) -> str:
    """Write a number of parameters as Ollama does: `134.52M`, `8.0B`."""
    for unit, size, places in (("B", 10**9, 1), ("M", 10**6, 2), ("K", 10**3, 0)):
        if parameters >= size:
            return f"{parameters / size:.{0 if parameters % size == 0 else places}f}{unit}"
    return str(parameters)


def name_from(text: str) -> ModelName:
    """Make a model name from a file's or a distribution's name.

    Raises:
        InvalidName: No character of the text may be in a name.
    """
    word = re.sub(r"[^a-z0-9_.-]+", "-", text.lower()).strip("-.")[:80]
    if not word:
        raise InvalidName(f"`{text}` cannot be turned into a model name", hint="give one with `--name`")
    return ModelName.parse(word)


def named_after(path: Path) -> Path:
    """Return what a model has its name from: the text model in a folder of GGUF files, or else the path itself.

    Raises:
        PullFailed: It is not clear which file of the folder is the text model.
        ModelCorrupt: A GGUF file in the folder is damaged.
    """
    from olpipe.store.gguf_folder import choose_files

    return choose_files(path).model if path.is_dir() and _is_gguf_folder(path) else path


def _is_gguf_folder(folder: Path) -> bool:
    """Say whether a folder has GGUF files, and is neither a package nor a model as Hugging Face lays it out."""
    from olpipe.convert import model_folder
    from olpipe.store.gguf_folder import gguf_files

    return not ((folder / CONFIG_NAME).is_file() or model_folder.is_model_folder(folder)) and bool(gguf_files(folder))


def _add_folder(folder: Path, name: ModelName, store: ModelStore, progress: ProgressCallback, *, move: bool) -> None:
    from olpipe.convert import model_folder

    try:
        if (folder / CONFIG_NAME).is_file():
            found = _files(folder)
            _refuse_pointers(found, folder)
            check_package(folder)
            files = {layer_name: (path, _kind(path)) for layer_name, path in found.items()}
            config = package_config(read_config(folder))
        elif model_folder.is_model_folder(folder):
            found = _files(folder, _is_stored)
            _refuse_pointers(found, folder)
            config, unused = _model_folder_config(folder)
            files = {
                layer_name: (path, _kind(path, card=_CARD))
                for layer_name, path in found.items()
                if not unused(layer_name)
            }
        elif _is_gguf_folder(folder):
            files, config = _read_gguf_folder(folder)
        else:
            model_folder.refuse_other_weights(folder)
            expected = f"`{model_folder.CONFIG_NAME}` beside a `{model_folder.WEIGHTS_NAME}`"
            message = f"`{folder}` has no `{CONFIG_NAME}`, no {expected}, and no .gguf file"
            raise PullFailed(message, hint=_WHAT_TO_NAME)
    except ValueError as error:
        raise PullFailed(f"`{folder}` is not a package that can be used: {error}") from error
    _add_files(files, config, name, store, progress, move=move)


def _add_files(
    files: Mapping[str, tuple[Path, str]],
    config: ModelConfig,
    name: ModelName,
    store: ModelStore,
    progress: ProgressCallback,
    *,
    move: bool,
) -> None:
    """Put files into the store, and write the manifest of the model that they make.

    Args:
        files: Each file and which kind of layer it becomes, by the name that it gets in the model's folder.
        config: What the model is.
        name: What to call it.
        store: Where it goes.
        progress: Told about every step.
        move: Whether the store may move the files.
    """
    layers = []
    for layer_name, (path, kind) in files.items():  # kinds are known by now: the store may move the files away
        layer = store.add_file(path, move=move, progress=progress)
        layers.append(replace(layer, name=layer_name, media_type=MEDIA_TYPE + kind))
    progress(Progress("writing manifest"))
    store.commit(name, config, layers)


def _gguf_layers(model: Path, projector: Path | None) -> dict[str, tuple[Path, str]]:
    """Return the GGUF files of a model with their kinds, by the names that such files have in every model."""
    from olpipe.convert.architectures import PROJECTOR_FILE

    files = {GGUF_LAYER: (model, "model")}
    return files if projector is None else files | {PROJECTOR_FILE: (projector, "projector")}


def _read_gguf_folder(folder: Path) -> tuple[dict[str, tuple[Path, str]], ModelConfig]:
    """Return what is stored of a folder of GGUF files, and what the model is."""
    from olpipe.store.gguf_folder import choose_files

    root = folder.resolve()
    chosen = choose_files(folder)
    files = _gguf_layers(chosen.model, chosen.projector)
    beside = sorted(path for path in folder.iterdir() if path.is_file() and _kind(path) == "license")
    files |= {check_layer_name(path.name): (path, "license") for path in beside}
    for path, _ in files.values():
        _refuse_outside(root / path.name, root)
    return files, gguf_config(chosen.model, chosen.projector)


def _refuse_pointers(files: Mapping[str, Path], folder: Path) -> None:
    from olpipe.convert.mistaken import POINTER_HINT, is_pointer

    for name, path in files.items():
        if is_pointer(path):
            message = f"`{name}` in `{folder}` is a Git LFS pointer, which only stands for the file"
            raise PullFailed(message, hint=POINTER_HINT)


def _files(folder: Path, wanted: Callable[[Path], bool] = lambda path: True) -> dict[str, Path]:
    """Return every wanted file of a folder by its layer name, sorted; hidden ones are left out."""
    root = folder.resolve()
    files: dict[str, Path] = {}
    for parent, folders, names in os.walk(root):
        linked = [entry for entry in folders if (Path(parent) / entry).is_symlink()]
        folders[:] = [entry for entry in folders if not entry.startswith(".")]
        for entry in [*names, *linked]:
            path = Path(parent) / entry
            if entry.startswith(".") or not wanted(path):
                continue
            _refuse_outside(path, root)
            files[check_layer_name(path.relative_to(root).as_posix())] = path
    return dict(sorted(files.items()))


def _refuse_outside(path: Path, root: Path) -> None:
    if not path.is_file() or not path.resolve().is_relative_to(root):
        raise ValueError(f"`{path.relative_to(root)}` is a link out of the folder, or no regular file")


def package_config(genai: Mapping[str, Any]) -> ModelConfig:
    """Describe a package of ONNX Runtime GenAI by its configuration.

    Raises:
        ValueError: It has no decoder.
    """
    model = _table(genai, "model")
    decoder = _table(model, "decoder")
    family = model.get("type")
    return ModelConfig(
        model_format="onnx",
        model_family=family if isinstance(family, str) else "",
        context_length=_size(model, "context_length"),
        embedding_length=_size(decoder, "hidden_size"),
        capabilities=("completion", "vision") if "vision" in model else ("completion",),
    )


def _size(value: Mapping[str, Any], key: str) -> int:
    """Return a size, or 0 where it is not known."""
    size = value.get(key)
    return size if type(size) is int and size > 0 else 0


def _table(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    entry = value.get(key)
    if not isinstance(entry, dict):
        raise ValueError(f"`{CONFIG_NAME}` has no `{key}`")
    return entry


def _model_folder_config(folder: Path) -> tuple[ModelConfig, Callable[[str], bool]]:
    """Describe a folder of Hugging Face by its configuration and by the headers of its weights.

    Returns:
        The description, and what says of a file's name in the folder whether the file is not needed.
    """
    from olpipe.convert.decoder_folder import is_decoder_folder

    if not is_decoder_folder(folder):
        return _encoder_folder_config(folder), lambda name: False
    from olpipe.convert.decoder_folder import open_decoder_folder
    from olpipe.convert.package import check_convertible
    from olpipe.convert.shards import weight_files

    check_convertible(folder)  # before the copy: what no backend runs is found at once
    header = open_decoder_folder(folder).header
    weights = {path.name for path in weight_files(folder)}
    config = ModelConfig(
        model_format="safetensors",
        model_family=header.architecture,
        model_type=count_words(header.parameter_count),
        file_type=header.file_type,
        context_length=header.context_length,
        embedding_length=header.embedding_length,
        capabilities=("completion",),
        conversion={"precision": "int4"},
    )
    return config, lambda name: name.endswith(".safetensors") and name not in weights


def _encoder_folder_config(folder: Path) -> ModelConfig:
    """Describe the folder of an embedding model."""
    from olpipe.convert.model_folder import CONFIG_NAME, ConfigFile, open_weights
    from olpipe.convert.sentence_folder import MODULES_NAME, context_length, text_limit

    config = ConfigFile.read(folder / CONFIG_NAME)
    sizes: Counter[str] = Counter()
    with open_weights(folder) as file:
        for tensor in file.tensors.values():
            sizes[tensor.dtype] += tensor.values
    embeds = (folder / MODULES_NAME).is_file()
    context = _size(config.values, "max_position_embeddings")
    return ModelConfig(
        model_format="safetensors",
        model_family=config.text("model_type"),
        model_type=count_words(sum(sizes.values())),
        file_type=max(sizes, key=sizes.__getitem__, default=""),
        context_length=context_length(context, text_limit(folder)) if embeds else context,
        embedding_length=_size(config.values, "hidden_size"),
        capabilities=("embedding",) if embeds else ("completion",),
    )


def _is_stored(path: Path) -> bool:
    return path.suffix in _STORED_SUFFIXES or _LICENSE.fullmatch(path.name) is not None


def _kind(path: Path, *, card: str = "") -> str:
    """Return which kind of layer a file becomes: licences and the model card are texts, if they can be read."""
    kind = "license" if _LICENSE.fullmatch(path.name) else "card" if path.name == card else "model"
    return kind if kind == "model" or _is_text(path) else "model"


def _is_text(path: Path) -> bool:
    if path.stat().st_size > MAX_BYTES:
        return False
    try:
        path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return False
    return True
