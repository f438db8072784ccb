"""What `list`, `show` and a server say about a model on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from olpipe.convert.vision_file import is_vision_tensor
from olpipe.interfaces import Backend
from olpipe.messages import Message, ThinkingPart
from olpipe.model import ModelBundle, ModelName
from olpipe.plugins import Plugins
from olpipe.registry import Registry
from olpipe.store.build import refusal
from olpipe.store.library import Library
from olpipe.store.model_info import ModelInfo, model_info
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
        "perceivers": list(config.perceivers),
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


def shown(
    name: ModelName,
    library: Library,
    *,
    verbose: bool = False,
    system: str = "",
    template: str = "",
    parameters: Mapping[str, Any] | None = None,
    plugins: Plugins | None = None,
) -> dict[str, Any]:
    """Return all that Ollama's `show` says about a model; what a model does not have is left out.

    Args:
        name: The model.
        library: Where it is.
        verbose: Whether to give long arrays, such as the vocabulary.
        system: What to show in place of its system message; empty shows its own.
        template: What to show in place of its template; empty shows its own.
        parameters: What to show in place of some of its parameters.
        plugins: Whoever runs the model and reads its vision encoder. Where they are given, what olpipe alone knows is
            told, too: who runs the model, what its vision encoder is, and its card.

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
        "perceivers": list(model.config.perceivers),
        "modified_at": _time(model.modified_at),
        **({} if plugins is None else _facts(model, bundle, info, plugins)),
    }


def _facts(model: StoredModel, bundle: ModelBundle, info: ModelInfo, plugins: Plugins) -> dict[str, Any]:
    """Return what olpipe alone knows of a model."""
    # The header of a large file takes a second to read, so it is not read again where it has no vision encoder
    names = [str(tensor["name"]) for tensor in info.tensors]
    may_see = info.projector is not None or not names or any(map(is_vision_tensor, names))
    vision = vision_facts(bundle, plugins.families) if may_see else None
    described = summary(model)
    return {
        **{key: described[key] for key in ("name", "size", "digest")},
        "projector": None if vision is None else asdict(vision),
        "backends": _backends(bundle, plugins.backends),
        "card": bundle.card,
    }


def _backends(bundle: ModelBundle, backends: Registry[Backend]) -> list[dict[str, Any]]:
    """Return which backend runs a model, and why others cannot, in the order in which backends are asked."""
    answers = [(name, refusal(name, backends, bundle)) for name in backends.names()]
    chosen = next((name for name, reason in answers if reason is None), None)
    return [{"name": name, "runs": name == chosen, "refuses": reason} for name, reason in answers]


def _message(message: Message) -> dict[str, str]:
    thinking = "".join(part.text for part in message.of_kind(ThinkingPart))
    return {"role": message.role, "content": message.text} | ({"thinking": thinking} if thinking else {})


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
