"""Make a model from one that is on this machine, or from files whose bytes are in the store already."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from olpipe.errors import ModelCorrupt, ModelError, ModelUnsupported, UsageError
from olpipe.interfaces import Progress, ProgressCallback
from olpipe.messages import Message, ThinkingPart
from olpipe.model import MEDIA_TYPE, Layer, ModelBundle, ModelConfig, ModelName
from olpipe.plugins import Plugins
from olpipe.store import digests
from olpipe.store.blob_files import check_file_name, is_gguf, read_blobs, telling_no_folder
from olpipe.store.build import backend_for, build
from olpipe.store.library import Library
from olpipe.store.locks import held
from olpipe.store.manifest import MAX_BYTES
from olpipe.store.stored_model import StoredModel, layer_name
from olpipe.store.telling import letting_out
from olpipe.store.templates import TEMPLATE_KEPT, check_text, is_unused

PRECISIONS = {
    "q4_0": "int4",
    "q4_1": "int4",
    "q4_k": "int4",
    "q4_k_s": "int4",
    "q4_k_m": "int4",
    "q8_0": "int8",
    "f32": "float32",
    **{name: name for name in ("int4", "int4-fast", "int8", "float32")},
}
"""The precisions by Ollama's names and ours. Ollama's tables of four bits differ in which matrices have more bits."""

_CONVERTED = ("gguf", "safetensors")
"""The formats of models that are converted, so that they may be stored more finely or with an adapter."""

_REPLACED = ("system", "template", "params", "messages")
"""The kinds of texts of which a model has one. A new one takes the place of that of the base."""


@dataclass(frozen=True, slots=True)
class NewModel:
    """What a new model is to be. What is empty is taken from the base.

    Attributes:
        name: What to call it.
        base: The model on this machine that it is made from; None where it is made from files.
        files: The digests of the blobs that it is made of, by the names of the files.
        adapters: The digests of the low-rank adapters to add, by the names of the files.
        precision: How finely a conversion stores its weights.
        system: Its system message.
        template: Its chat template.
        licenses: Licences to add to those of the base.
        parameters: Sampling parameters in Ollama's spelling, to add to those of the base.
        messages: Turns that open every conversation.
    """

    name: ModelName
    base: ModelName | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    adapters: Mapping[str, str] = field(default_factory=dict)
    precision: str = ""
    system: str = ""
    template: str = ""
    licenses: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    messages: tuple[Message, ...] = ()


def precision_of(text: str) -> str:
    """Return the precision with a name in Ollama's spelling or in ours; empty where the name is empty.

    Raises:
        UsageError: There is none.
    """
    if text and text.lower() not in PRECISIONS:
        raise UsageError(f"unsupported quantization type {text}", hint=f"there are {', '.join(PRECISIONS)}")
    return PRECISIONS.get(text.lower(), "")


def check(new: NewModel, library: Library) -> None:
    """Refuse what cannot become a model, as far as that shows without reading files.

    Raises:
        UsageError: A file's name leads out of the model's folder, a blob is not here, the template is not valid, a text
            is too long, or there are several adapters.
    """
    for name, digest in [*new.files.items(), *new.adapters.items()]:
        check_file_name(name)
        if not _is_here(digest, library):
            raise UsageError(f'blob "{digest:.80}" not found', hint="send its bytes to `/api/blobs/DIGEST` first")
    if len(new.adapters) > 1:
        raise UsageError("a model takes one adapter at most", hint="leave out all adapters but one")
    if new.template:
        check_text(new.template)
    for kind, text in _texts(new, new.parameters):
        if len(text.encode()) > MAX_BYTES:
            raise UsageError(f"the layer `{kind}` of `{new.name}` would have more than {MAX_BYTES} bytes")


def create(new: NewModel, library: Library, plugins: Plugins, *, progress: ProgressCallback) -> None:
    """Make a model, and build what running it needs. No file is copied.

    Args:
        new: What the model is to be. `check` has passed it.
        library: Where its parts are, and where it goes.
        plugins: The plugins; one of their backends builds it.
        progress: Told about every step. An exception that it raises ends the call. Then no model is made.

    Raises:
        ModelNotFound: Its base is not on this machine.
        UsageError: The files are no model, or no backend can run it.
    """
    with held(library.pull_lock(f"create:{new.name}"), f"waiting for another create of {new.name}", progress):
        library.clean()
        # 1. What there is: the layers of the base, or those of the files
        base = None if new.base is None else library.describe(new.base)
        config, layers = read_blobs(new.files, new.name, library) if base is None else _taken_from(base)
        for layer in layers:
            progress(Progress(f"using existing layer {layer.digest}"))
        # 2. What is new: an adapter, a precision, texts
        if new.adapters:
            layers = [*_without(layers, "adapter"), _adapter(new, config, library)]
        if new.precision:
            config = replace(config, conversion={**config.conversion, "precision": _precision(new, config)})
        if is_unused(new.template, config, _files(layers, config, library)):
            progress(Progress(TEMPLATE_KEPT))
        layers = _with_texts(layers, _new_texts(new, base, library), library, progress)
        # 3. The manifest, once the model is known to run
        manifest = library.compose(config, layers)
        staged = library.stage(new.name, manifest)
        with letting_out(progress) as told, telling_no_folder(staged.path):
            if base is not None and not new.precision and _same_files(base, layers):
                library.share_build(library.get(base.name), staged)
            _build(staged, library, plugins, told)
        progress(Progress("writing manifest"))
        library.commit_manifest(new.name, manifest)


def _taken_from(base: StoredModel) -> tuple[ModelConfig, list[Layer]]:
    """Return the description and the layers of a model; those of its weights say where they come from."""
    weights = f"{MEDIA_TYPE}model"
    layers = (
        replace(layer, origin=str(base.name)) if layer.media_type == weights else layer
        for layer in base.manifest.layers
    )
    return base.written, list(layers)


def _build(staged: ModelBundle, library: Library, plugins: Plugins, progress: ProgressCallback) -> None:
    try:
        build(staged, backend_for(staged, plugins.backends), progress)
    except (ModelCorrupt, ModelUnsupported):
        library.forget(staged)
        raise


def _adapter(new: NewModel, config: ModelConfig, library: Library) -> Layer:
    """Return the layer of the adapter. Whether it fits the model shows when the model is built.

    Raises:
        UsageError: The file is not an adapter, or the model takes none.
    """
    from olpipe.convert.adapter import read_adapter
    from olpipe.convert.architectures import ADAPTER_FILE

    ((name, digest),) = new.adapters.items()
    if config.model_format not in _CONVERTED or "completion" not in config.capabilities:
        raise UsageError("only GGUF models that write answers take an adapter", hint="leave out `adapters`")
    path = library.blob_path(digest)
    hint = "adapters are read in safetensors, with the names that GGUF gives to tensors"
    if is_gguf(path):
        raise UsageError(f"`{name}` is a GGUF file, and no adapter that can be read", hint=hint)
    try:
        read_adapter(path)
    except ModelError as error:
        raise UsageError(error.message.replace(str(path), name), hint=hint) from error
    return Layer(digests.normalised(digest), path.stat().st_size, f"{MEDIA_TYPE}adapter", ADAPTER_FILE)


def _precision(new: NewModel, config: ModelConfig) -> str:
    """Return the precision of the conversion.

    Raises:
        UsageError: There is no such precision, or the model is not converted.
    """
    from olpipe.convert.package import PRECISIONS

    if config.model_format not in _CONVERTED or "completion" not in config.capabilities:
        raise UsageError("only GGUF models that write answers can be quantized", hint="leave out `quantize`")
    if new.precision not in PRECISIONS:
        raise UsageError(f"there is no precision `{new.precision}`", hint=f"there are {', '.join(PRECISIONS)}")
    return new.precision


def _texts(new: NewModel, parameters: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the texts that a new model gets, each with its kind of layer."""
    if new.system:
        yield "system", new.system
    if new.template:
        yield "template", new.template
    if new.parameters:
        yield "params", json.dumps(dict(parameters), ensure_ascii=False)
    if new.messages:
        yield "messages", json.dumps([_turn(message) for message in new.messages], ensure_ascii=False)
    for license_text in new.licenses:
        yield "license", license_text


def _new_texts(new: NewModel, base: StoredModel | None, library: Library) -> Iterator[tuple[str, str]]:
    """Yield the texts of a new model that its base does not have. The same values may be spelled differently."""
    if base is None:
        yield from _texts(new, new.parameters)
        return
    bundle = library.get(base.name)
    parameters = {**bundle.parameters, **new.parameters}
    same = (("params", parameters == bundle.parameters), ("messages", new.messages == bundle.messages))
    kept = {kind for kind, is_same in same if is_same}
    yield from ((kind, text) for kind, text in _texts(new, parameters) if kind not in kept)


def _turn(message: Message) -> dict[str, str]:
    thinking = "\n".join(part.text for part in message.of_kind(ThinkingPart))
    return {"role": message.role, "content": message.text} | ({"thinking": thinking} if thinking else {})


def _with_texts(
    layers: Sequence[Layer], texts: Iterator[tuple[str, str]], library: Library, progress: ProgressCallback
) -> list[Layer]:
    """Return layers with further ones for texts."""
    found = list(layers)
    for kind, text in texts:
        data = text.encode()
        media_type, digest = MEDIA_TYPE + kind, digests.of_bytes(data)
        others = [layer for layer in found if layer.media_type == media_type]
        if digest in {layer.digest for layer in others} and (len(others) == 1 or kind not in _REPLACED):
            continue
        status = "using existing layer" if library.has(digest) else "creating new layer"
        layer = replace(library.add_bytes(data), media_type=media_type)
        progress(Progress(f"{status} {layer.digest}"))
        found = [*(_without(found, kind) if kind in _REPLACED else found), layer]
    return found


def _without(layers: Sequence[Layer], kind: str) -> list[Layer]:
    return [layer for layer in layers if layer.media_type != MEDIA_TYPE + kind]


def _files(layers: Sequence[Layer], config: ModelConfig, library: Library) -> dict[str, tuple[Path, int]]:
    """Return the files of a model by their names, with their sizes."""
    named = ((layer_name(layer, config), layer) for layer in layers)
    return {name: (library.blob_path(layer.digest), layer.size) for name, layer in named if name}


def _same_files(base: StoredModel, layers: Sequence[Layer]) -> bool:
    """Say whether layers have the same files as a model. Texts are no files."""
    before, after = (
        {(name, layer.digest) for layer in some if (name := layer_name(layer, base.config))}
        for some in (base.manifest.layers, layers)
    )
    return before == after


def _is_here(digest: str, library: Library) -> bool:
    """Say whether a blob is here.

    Raises:
        UsageError: The text is not a digest.
    """
    try:
        return library.has(digest)
    except ValueError as error:
        raise UsageError("invalid digest format", hint="a digest is `sha256:` and 64 hex digits") from error
