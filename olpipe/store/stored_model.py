"""A model as its manifest describes it: which files it has, and what its text layers say."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from olpipe.convert.architectures import GGUF_ADAPTER_FILE
from olpipe.messages import Message, Part, Role, TextPart, ThinkingPart
from olpipe.model import MEDIA_TYPE, Layer, ModelBundle, ModelConfig
from olpipe.store.blobs import Blobs
from olpipe.store.layer_names import check_layer_name
from olpipe.store.manifest import MAX_BYTES
from olpipe.store.manifests import ManifestFile

_UNNAMED_FILES = ("model", "projector")
_ADAPTER = "adapter"  # Ollama's own adapters are GGUF files
_ROLES = frozenset(get_args(Role))


@dataclass(frozen=True, slots=True)
class StoredModel(ManifestFile):
    """A model as its manifest and config layer describe it, before its files are laid out.

    Attributes:
        written: What its config layer says.
        config: The same, with the capabilities that its chat template and its tokens show.
    """

    written: ModelConfig
    config: ModelConfig

    @property
    def parent(self) -> str:
        """The name of the model that it was made from; empty where it was not made from one."""
        return next((layer.origin for layer in self.layers("model") if layer.origin), "")

    def layers(self, kind: str) -> list[Layer]:
        """Return the layers of a kind, such as `license`."""
        return [layer for layer in self.manifest.layers if layer.media_type == MEDIA_TYPE + kind]


def layer_name(layer: Layer, config: ModelConfig) -> str:
    """Return the name of a layer's file; empty where the layer is a text and no file.

    Ollama's own weights carry no name.
    """
    if layer.name:
        return layer.name
    kind = layer.media_type.removeprefix(MEDIA_TYPE)
    if kind == _ADAPTER:
        return GGUF_ADAPTER_FILE
    return f"{kind}.{config.model_format}" if kind in _UNNAMED_FILES else ""


def files(model: StoredModel, blobs: Blobs) -> dict[str, tuple[Path, int]]:
    """Return the blob and its size in bytes for each file of a model, by the file's name in the model's folder.

    Raises:
        ValueError: A blob is missing or cut short, or a name could lead out of the folder.
    """
    found: dict[str, tuple[Path, int]] = {}
    for layer in model.manifest.layers:
        name = layer_name(layer, model.config)
        if not name:
            continue
        if blobs.size(layer.digest) != layer.size:
            raise ValueError(f"the file `{name}` is missing or cut short")
        if found.get(name, (blobs.path(layer.digest), 0))[0] != blobs.path(layer.digest):
            raise ValueError(f"two files are called `{name}`")
        found[check_layer_name(name)] = (blobs.path(layer.digest), layer.size)
    return found


def texts(model: StoredModel, kind: str, blobs: Blobs) -> list[str]:
    """Return the texts of the layers of a kind.

    Raises:
        ValueError: A blob is missing, too large or no text.
    """
    return [blobs.read(layer.digest, limit=MAX_BYTES).decode() for layer in model.layers(kind)]


def template(model: StoredModel, blobs: Blobs) -> str:
    """Return the template that a model's manifest has; empty where it has none.

    Raises:
        ValueError: A blob is missing, too large or no text.
    """
    found = texts(model, "template", blobs)
    return found[-1] if found else ""


def bundle(model: StoredModel, blobs: Blobs, *, view: Path, cache: Path) -> ModelBundle:
    """Return a model whose files are laid out.

    Args:
        model: The model.
        blobs: The blobs of its store.
        view: The folder of its files.
        cache: The folder of its builds.

    Raises:
        ValueError: A text layer cannot be used.
    """
    return ModelBundle(
        name=model.name,
        digest=model.digest,
        path=view,
        cache=cache,
        config=model.config,
        system="\n".join(texts(model, "system", blobs)),
        parameters=_parameters(texts(model, "params", blobs)),
        licenses=tuple(texts(model, "license", blobs)),
        card="\n".join(texts(model, "card", blobs)),
        size_bytes=model.size_bytes,
        messages=tuple(turn for text in texts(model, "messages", blobs) for turn in _messages(text)),
        template=template(model, blobs),
    )


def _parameters(found: list[str]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for text in found:
        value = _json(text)
        if not isinstance(value, dict):
            raise ValueError("its parameters are not a JSON object")
        merged |= value
    return merged


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("one of its texts is nested too deeply") from error


def _messages(text: str) -> list[Message]:
    """Read a layer with messages, which is a JSON list of objects with `role`, `content` and perhaps `thinking`."""
    value = _json(text)
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ValueError("its messages are not a list of JSON objects")
    return [_message(entry) for entry in value]


def _message(entry: dict[str, Any]) -> Message:
    role: Any = entry.get("role")
    content, thinking = entry.get("content") or "", entry.get("thinking") or ""
    if role not in _ROLES or not isinstance(content, str) or not isinstance(thinking, str):
        raise ValueError(f"it has a message of the role `{role!r:.80}`, or one whose content is not a text")
    parts: tuple[Part, ...] = (TextPart(content),)
    return Message(role, (ThinkingPart(thinking), *parts) if thinking else parts)
