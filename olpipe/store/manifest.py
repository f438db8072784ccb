"""Manifests and config layers as JSON, in Ollama's spelling; what is read is not trusted.

Source: https://github.com/ollama/ollama/blob/main/manifest/manifest.go and types/model/config.go
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from olpipe.errors import InvalidName, ModelCorrupt
from olpipe.model import Layer, ModelConfig, ModelName
from olpipe.store import digests
from olpipe.store.layer_names import check_layer_name, check_together

MAX_BYTES = 4 << 20
MAX_LAYERS = 4096
"""Most layers of a model: some have one for each of their tensors."""

_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
SOURCE = "org.opencontainers.image.source"
"""The annotation of a manifest with the URL of the repository that the model comes from."""

REVISION = "org.opencontainers.image.revision"
"""The annotation of a manifest with the revision of that repository."""

_TITLE = "org.opencontainers.image.title"
"""The annotation with a file's name. Source: https://github.com/opencontainers/image-spec/blob/main/annotations.md"""

# What a model is where its config does not say, by a name that one of its files ends in.
_FORMATS = {".gguf": "gguf", "genai_config.json": "onnx", "model.safetensors": "safetensors"}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a model is made of: a config layer and the other layers.

    Attributes:
        config: The config layer.
        layers: The other layers.
        annotations: Further facts by their names, such as `REVISION`.
    """

    config: Layer
    layers: tuple[Layer, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Size of everything it names."""
        return self.config.size + sum(layer.size for layer in self.layers)

    @property
    def blob_digests(self) -> frozenset[str]:
        """Every blob it names."""
        return frozenset({self.config.digest, *(layer.digest for layer in self.layers)})

    def to_bytes(self) -> bytes:
        """Return the file's bytes. The same layers give the same bytes, because their hash is the model's digest."""
        value = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST_TYPE,
            "config": {"mediaType": _CONFIG_TYPE, "digest": self.config.digest, "size": self.config.size},
            "layers": [_layer_to_json(layer) for layer in self.layers],
        }
        return _compact(value | ({"annotations": dict(self.annotations)} if self.annotations else {}))

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Read a manifest file.

        Raises:
            ValueError: It is not a manifest, or the name of a layer could lead out of the store.
        """
        value = config_value(data)
        layers = value.get("layers") or []
        if not isinstance(layers, list):
            raise ValueError("`layers` is not a list")
        if len(layers) > MAX_LAYERS:
            raise ValueError(f"it has {len(layers)} layers, and at most {MAX_LAYERS} are allowed")
        read = tuple(_layer_from_json(layer) for layer in layers)
        check_together(layer.name for layer in read if layer.name)
        return cls(_layer_from_json(value.get("config")), read, _annotations(value.get("annotations")))


def config_to_bytes(config: ModelConfig, layers: Sequence[Layer]) -> bytes:
    """Return the config layer's bytes; empty fields are left out."""
    described = {
        "model_format": config.model_format,
        "model_family": config.model_family,
        "model_families": [config.model_family] if config.model_family else None,
        "model_type": config.model_type,
        "file_type": config.file_type,
        "capabilities": list(config.capabilities),
        "context_length": config.context_length,
        "embedding_length": config.embedding_length,
        "perceivers": list(config.perceivers),
        "languages": list(config.languages),
        "prompts": list(config.prompts),
        "conversion": dict(config.conversion),
    }
    # The last three are what container registries expect of any config; Ollama writes these constants.
    value = {key: entry for key, entry in described.items() if entry} | {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
    }
    return _compact(value)


def config_from_bytes(data: bytes, layers: Sequence[Layer] = ()) -> ModelConfig:
    """Read a config layer.

    Args:
        data: Its bytes. Artifacts that were not made by Ollama or olpipe may have an empty object here.
        layers: The model's layers. Their names tell the format where the config does not.

    Raises:
        ValueError: It is not a config layer.
    """
    value = config_value(data)
    conversion = value.get("conversion") or {}
    if not isinstance(conversion, dict):
        raise ValueError("`conversion` is not an object")
    return ModelConfig(
        model_format=_text(value, "model_format") or _format(layers),
        model_family=_text(value, "model_family"),
        model_type=_text(value, "model_type"),
        file_type=_text(value, "file_type"),
        context_length=_count(value, "context_length"),
        embedding_length=_count(value, "embedding_length"),
        capabilities=_texts(value, "capabilities") or ModelConfig().capabilities,
        perceivers=_texts(value, "perceivers"),
        languages=_texts(value, "languages"),
        prompts=_texts(value, "prompts"),
        conversion=conversion,
    )


def _format(layers: Sequence[Layer]) -> str:
    names = [layer.name for layer in layers]
    return next((kind for end, kind in _FORMATS.items() if any(name.endswith(end) for name in names)), "")


def _layer_to_json(layer: Layer) -> dict[str, Any]:
    value = {"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size}
    return value | {key: text for key, text in (("from", layer.origin), ("name", layer.name)) if text}


def _layer_from_json(value: object) -> Layer:
    if not isinstance(value, dict):
        raise ValueError("a layer is not an object")
    digest, name = _text(value, "digest"), _text(value, "name") or _title(value.get("annotations"))
    return Layer(
        digest=digests.normalised(digest),
        size=_count(value, "size"),
        media_type=_text(value, "mediaType"),
        name=check_layer_name(name) if name else "",
        origin=_model_name(_text(value, "from")),
    )


def _annotations(value: object) -> dict[str, str]:
    """Return the annotations that are texts. No other has a meaning here."""
    pairs = value.items() if isinstance(value, dict) else ()
    return {name: text for name, text in pairs if isinstance(text, str)}


def _title(annotations: object) -> str:
    """Return the name of a file as OCI artifacts have it; empty where there is none."""
    return _text(annotations, _TITLE) if isinstance(annotations, dict) else ""


def _model_name(text: str) -> str:
    """Return the text of a name, or an empty text: manifests of others may hold a path of their machine there."""
    try:
        return str(ModelName.parse(text))
    except InvalidName:
        return ""


def _compact(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def config_value(data: bytes) -> dict[str, Any]:
    """Read the JSON object in a manifest or in a config.

    Raises:
        ValueError: It is none, or far too large.
    """
    if len(data) > MAX_BYTES:
        raise ValueError("it is too large")
    try:
        value = json.loads(data)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    return value


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key) or ""
    if not isinstance(value, str):
        raise ValueError(f"`{key}` is not a text")
    return value


def _texts(table: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = table.get(key) or []
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise ValueError(f"`{key}` is not a list of texts")
    return tuple(value)


def _count(table: Mapping[str, Any], key: str) -> int:
    value = table.get(key) or 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"`{key}` is not a count")
    return value


def read_manifest(name: ModelName, data: bytes) -> Manifest:
    """Read the manifest of a model that is to be stored.

    Raises:
        ModelCorrupt: It is not a manifest, or the name of a layer could lead out of the store.
    """
    try:
        return Manifest.from_bytes(data)
    except ValueError as error:
        raise unusable(name, error) from error


def unusable(name: ModelName, reason: object) -> ModelCorrupt:
    """Return the error for a model that was pulled and cannot be kept."""
    return ModelCorrupt(f"`{name}` cannot be used: {reason}", hint="it was not kept; pull it again, or from elsewhere")
