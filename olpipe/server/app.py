"""The application: routes, and what stands around all of them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute

from olpipe.errors import OlpipeError, first_line
from olpipe.server.refusal import Refusal, status_of
from olpipe.server.request_ids import RequestIds, request_id
from olpipe.server.responses import json_response
from olpipe.server.routes import answers, vectors, versions
from olpipe.server.service import Service
from olpipe.server.wire import failures

logger = logging.getLogger(__name__)

_ROUTES: tuple[Callable[[Service], list[BaseRoute]], ...] = (
    versions.routes,
    answers.routes,
    vectors.routes,
)  # type: ignore[assignment]
_STATUS_TEXTS = {404: "404 page not found", 405: "405 method not allowed"}


def application(service: Service) -> Starlette:
    """Return the application for a service. It closes the engine when it ends."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        service.close()

    return Starlette(
        routes=[route for routes in _ROUTES for route in routes(service)],
        middleware=[Middleware(RequestIds)],
        exception_handlers={OlpipeError: _refused, HTTPException: _no_route, Exception: _failed},  # type: ignore[dict-item]
        lifespan=lifespan,
    )


async def _refused(request: Request, error: OlpipeError) -> Response:
    return json_response(_body(request, error), status_of(error))


async def _no_route(request: Request, error: HTTPException) -> Response:
    text = _STATUS_TEXTS.get(error.status_code, error.detail)
    return PlainTextResponse(text, error.status_code, headers={"Content-Type": "text/plain", **(error.headers or {})})


async def _failed(request: Request, error: Exception) -> Response:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    told = Refusal(500, f"olpipe has a fault: {type(error).__name__}: {first_line(error)}")
    return json_response(_body(request, told), 500)


def _body(request: Request, error: OlpipeError) -> dict[str, object]:
    path = request.url.path
    if path.startswith("/v1/messages"):
        return failures.anthropic(error, request_id(request))
    return failures.openai(error) if path.startswith("/v1/") else failures.native(error)
