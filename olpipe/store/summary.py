"""What `list`, `show` and a server say about a model on this machine."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from olpipe.families.table import Families
from olpipe.model import ModelBundle
from olpipe.store.library import StoredModel
from olpipe.store.vision import vision_facts


def summary(model: StoredModel) -> dict[str, Any]:
    """Describe a model with the keys that Ollama's clients know."""
    config = model.config
    return {
        "name": str(model.name),
        "model": str(model.name),
        "modified_at": datetime.fromtimestamp(model.modified_at, UTC).isoformat().replace("+00:00", "Z"),
        "size": model.size_bytes,
        "digest": model.digest.removeprefix("sha256:"),
        "details": {
            "format": config.model_format,
            "family": config.model_family,
            "families": [config.model_family] if config.model_family else [],
            "parameter_size": config.model_type,
            "quantization_level": config.file_type,
            "context_length": config.context_length,
            "embedding_length": config.embedding_length,
        },
        "capabilities": list(config.capabilities),
    }


def details(bundle: ModelBundle, families: Families | None = None) -> dict[str, Any]:
    """Return what else can be said about a model once its files are laid out.

    Args:
        bundle: The model.
        families: All families of vision models; None stands for those that ship with olpipe.
    """
    vision = vision_facts(bundle, families)
    return {
        "projector": None if vision is None else asdict(vision),
        "perceivers": list(bundle.config.perceivers),
        "parameters": dict(bundle.parameters),
        "system": bundle.system,
        "license": "\n".join(bundle.licenses),
        "card": bundle.card,
    }
