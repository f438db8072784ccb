"""Ollama's routes about the models on this machine: tags, show, ps, copy and delete."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from olpipe.errors import ModelNotFound, StoreError
from olpipe.model import ModelName
from olpipe.server.bodies.body import read_json
from olpipe.server.bodies.fields import Fields
from olpipe.server.bodies.responses import json_response
from olpipe.server.bridge import in_thread
from olpipe.server.model_names import named
from olpipe.server.refusal import Refusal
from olpipe.server.service import Service
from olpipe.server.wire import ollama
from olpipe.server.wire.models import NO_DETAILS, loaded_body
from olpipe.server.wire.ollama_options import read_options
from olpipe.store.sources import offers
from olpipe.store.summary import brief, shown, summary
from olpipe.store.unknown import not_here

_COPILOT = "GitHubCopilotChat/"
"""How the user agent of a client begins that takes `general.basename` for the name of the model."""

_COPIED = ("source", "destination")


def routes(service: Service) -> list[Route]:
    """Return the routes."""

    async def tags(request: Request) -> Response:
        return json_response({"models": await in_thread(_tags, service)})

    async def show(request: Request) -> Response:
        fields = await read_json(request, limit=service.settings.max_body)
        body = await in_thread(_show, service, fields)
        if request.headers.get("user-agent", "").startswith(_COPILOT):
            body["model_info"] = {**body["model_info"], "general.basename": ollama.model_of(fields)}
        return json_response(body)

    async def ps(request: Request) -> Response:
        return json_response({"models": await in_thread(loaded_models, service)})

    async def copy(request: Request) -> Response:
        fields = await read_json(request, limit=service.settings.max_body)
        await in_thread(_copy, service, fields)
        return Response(status_code=200)

    async def delete(request: Request) -> Response:
        fields = await read_json(request, limit=service.settings.max_body)
        await in_thread(_delete, service, fields)
        return Response(status_code=200)

    return [
        Route("/api/tags", tags, methods=["GET"]),
        Route("/api/show", show, methods=["POST"]),
        Route("/api/ps", ps, methods=["GET"]),
        Route("/api/copy", copy, methods=["POST"]),
        Route("/api/delete", delete, methods=["DELETE"]),
    ]


def _tags(service: Service) -> list[dict[str, Any]]:
    return list(map(summary, service.library.stored()))


def _show(service: Service, fields: Fields) -> dict[str, Any]:
    text = ollama.model_of(fields)
    if not text:
        raise Refusal(400, "model is required")
    name = named(text, Refusal(400, "invalid model name"))
    options = fields.inner("options")
    read_options(options)
    try:
        return shown(
            name,
            service.library,
            verbose=fields.flag("verbose"),
            system=fields.text("system"),
            template=fields.text("template"),
            parameters=None if options is None else options.values,
            plugins=service.plugins if fields.flag("facts") else None,
        )
    except ModelNotFound as error:
        hint = not_here(text, service.library, service.plugins, offers(service.plugins)).hint
        raise Refusal(404, f"model '{name}' not found", hint=hint) from error


def loaded_models(service: Service) -> list[dict[str, Any]]:
    """Return what /api/ps says of the models in memory."""
    return [loaded_body(model, _details(service, model.name)) for model in service.engine.loaded()]


def _details(service: Service, name: ModelName) -> dict[str, Any]:
    try:
        return brief(service.library.describe(name))
    except (ModelNotFound, StoreError):
        return dict(NO_DETAILS)


def _copy(service: Service, fields: Fields) -> None:
    names = [named(fields.text(what), Refusal(400, f'{what} "{fields.text(what)}" is invalid')) for what in _COPIED]
    try:
        service.library.copy(*names)
    except ModelNotFound as error:
        raise Refusal(404, f'model "{fields.text("source")}" not found', hint=error.hint) from error


def _delete(service: Service, fields: Fields) -> None:
    text = ollama.model_of(fields)
    name = named(text, Refusal(400, f'name "{text}" is invalid'))
    try:
        service.library.digest(name)
    except ModelNotFound as error:
        raise Refusal(404, f"model '{text}' not found", hint=error.hint) from error
    except StoreError:
        pass  # what is damaged can be deleted all the same
    service.engine.unload(text)
    service.library.remove(name)
