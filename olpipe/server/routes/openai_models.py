"""OpenAI's routes about the models on this machine."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from olpipe.errors import ModelNotFound
from olpipe.model import ModelName
from olpipe.server.bodies.responses import json_response
from olpipe.server.bridge import in_thread
from olpipe.server.service import Service
from olpipe.store.stored_model import StoredModel


def routes(service: Service) -> list[Route]:
    """Return the routes."""

    async def models(request: Request) -> Response:
        stored = await in_thread(service.library.stored)
        return json_response({"object": "list", "data": [_described(str(model.name), model) for model in stored]})

    async def model(request: Request) -> Response:
        name = request.path_params["model"]
        return json_response(_described(name, await in_thread(_stored, service, name)))

    return [
        Route("/v1/models", models, methods=["GET"]),
        Route("/v1/models/{model:path}", model, methods=["GET"]),
    ]


def _stored(service: Service, text: str) -> StoredModel:
    name = ModelName.parse(text)
    try:
        return service.library.describe(name)
    except ModelNotFound as error:
        raise ModelNotFound(f"model '{name}' not found", hint=f"run `olpipe pull {text}`") from error


def _described(name: str, model: StoredModel) -> dict[str, Any]:
    """Return a model. The context's length and the capabilities are ours: clients need them to know what to send."""
    return {
        "id": name,
        "object": "model",
        "created": int(model.modified_at),
        "owned_by": model.name.namespace,
        "capabilities": list(model.config.capabilities),
        **({"context_length": model.config.context_length} if model.config.context_length else {}),
    }
