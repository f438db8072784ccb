"""The application: routes, and what stands around all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute

from olpipe.errors import OlpipeError
from olpipe.server.bodies.responses import CLOSED
from olpipe.server.bridge import in_thread
from olpipe.server.edge.connections import Heads
from olpipe.server.edge.failing import Faults, refused
from olpipe.server.edge.guard import Hosts, Origins
from olpipe.server.edge.keys import Keys, Management
from olpipe.server.edge.request_ids import RequestIds
from olpipe.server.edge.request_log import RequestLog
from olpipe.server.edge.watching import Watching
from olpipe.server.routes import (
    answers,
    anthropic,
    blobs,
    create,
    describe,
    happenings,
    metrics,
    models,
    openai_answers,
    openai_models,
    openai_vectors,
    openapi,
    pulls,
    tokens,
    vectors,
    versions,
)
from olpipe.server.service import Service

_ROUTES: tuple[Callable[[Service], list[BaseRoute]], ...] = (
    versions.routes,
    models.routes,
    happenings.routes,
    pulls.routes,
    create.routes,
    blobs.routes,
    answers.routes,
    anthropic.routes,
    describe.routes,
    vectors.routes,
    tokens.routes,
    openai_answers.routes,
    openai_vectors.routes,
    openai_models.routes,
    metrics.routes,
    openapi.routes,
)  # type: ignore[assignment]
_STATUS_TEXTS = {404: "404 page not found", 405: "405 method not allowed"}


def application(service: Service) -> Starlette:
    """Return the application for a service. It closes the engine when it ends."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await in_thread(service.close)

    async def told(request: Request, error: OlpipeError) -> Response:
        service.metrics.failed(error)
        return refused(request, error)

    return Starlette(
        routes=[route for routes in _ROUTES for route in routes(service)],
        middleware=_around(service),
        exception_handlers={OlpipeError: told, HTTPException: _no_route, ClientDisconnect: _gone},  # type: ignore[dict-item]
        lifespan=lifespan,
    )


def _around(service: Service) -> list[Middleware]:
    """Return what a request passes on its way in, the first first, and its response on its way out."""
    settings = service.settings
    return [
        Middleware(RequestIds),
        Middleware(Watching, metrics=service.metrics),
        Middleware(Heads, limit=settings.max_header),
        Middleware(Origins, allowed=settings.origins),
        Middleware(Hosts, address=settings.host),
        Middleware(Keys, keys=settings.api_keys),
        Middleware(Management, allowed=settings.management, is_unix=settings.host.is_unix),
        Middleware(Faults),
        *([Middleware(RequestLog, server=str(settings.host))] if settings.log_bodies else []),
    ]


async def _no_route(request: Request, error: HTTPException) -> Response:
    text = _STATUS_TEXTS.get(error.status_code, error.detail)
    return PlainTextResponse(text, error.status_code, headers={"Content-Type": "text/plain", **(error.headers or {})})


async def _gone(request: Request, error: ClientDisconnect) -> Response:
    return CLOSED
