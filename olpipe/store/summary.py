"""What `list`, `show` and a server say about a model on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from olpipe.families.table import Families
from olpipe.messages import Message
from olpipe.model import ModelBundle, ModelName
from olpipe.store.library import Library
from olpipe.store.model_info import model_info
from olpipe.store.modelfile import modelfile, parameter_lines
from olpipe.store.stored_model import StoredModel
from olpipe.store.vision import vision_facts


def summary(model: StoredModel) -> dict[str, Any]:
    """Describe a model with the keys that Ollama's clients know."""
    config = model.config
    return {
        "name": str(model.name),
        "model": str(model.name),
        "modified_at": _time(model.modified_at),
        "size": model.size_bytes,
        "digest": model.digest.removeprefix("sha256:"),
        "details": {
            **brief(model),
            "context_length": config.context_length,
            "embedding_length": config.embedding_length,
        },
        "capabilities": list(config.capabilities),
    }


def brief(model: StoredModel) -> dict[str, Any]:
    """Return what Ollama says about each model that is loaded."""
    config = model.config
    return {
        "parent_model": model.parent,
        "format": config.model_format,
        "family": config.model_family,
        "families": [config.model_family] if config.model_family else [],
        "parameter_size": config.model_type,
        "quantization_level": config.file_type,
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


def shown(
    name: ModelName,
    library: Library,
    *,
    verbose: bool = False,
    system: str = "",
    template: str = "",
    parameters: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return all that Ollama's `show` says about a model; what a model does not have is left out.

    Args:
        name: The model.
        library: Where it is.
        verbose: Whether to give long arrays, such as the vocabulary.
        system: What to show in place of its system message; empty shows its own.
        template: What to show in place of its template; empty shows its own.
        parameters: What to show in place of some of its parameters.

    Raises:
        ModelNotFound: It is not on this machine.
        StoreError: It is damaged.
    """
    model = library.describe(name)
    bundle = library.get(name)
    bundle = replace(bundle, system=system or bundle.system, parameters={**bundle.parameters, **(parameters or {})})
    # The template that is used is shown. A template in another language is kept, and stands in the Modelfile
    used = template or next(iter(library.chat_facts(model).templates), "")
    kept = template or next(iter(library.texts(model, "template")), "")
    info = model_info(bundle, verbose=verbose)
    said = {
        "license": "\n".join(bundle.licenses),
        "modelfile": modelfile(bundle, template=kept),
        "parameters": parameter_lines(bundle.parameters),
        "template": used,
        "system": bundle.system,
        "messages": [_message(message) for message in bundle.messages],
        "projector_info": info.projector,
    }
    return {
        **{key: value for key, value in said.items() if value},
        "details": summary(model)["details"],
        "model_info": info.values,
        "tensors": info.tensors,
        "capabilities": list(model.config.capabilities),
        "modified_at": _time(model.modified_at),
    }


def _message(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.text}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
