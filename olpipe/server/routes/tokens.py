"""The routes that show tokens: a text as tokens, and tokens as a text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from olpipe.server.bodies.body import read_json
from olpipe.server.bodies.responses import CLOSED, json_response
from olpipe.server.bridge import in_thread, unless_gone
from olpipe.server.limits import check_text
from olpipe.server.service import Service
from olpipe.server.wire import tokens as wire
from olpipe.tokens import TokenizeRequest, Tokens

Body = Callable[[str, Tokens], dict[str, Any]]


def routes(service: Service) -> list[Route]:
    """Return the routes."""

    async def tokenize(request: Request) -> Response:
        return await _answer(service, request, wire.read_tokenize, wire.tokenized)

    async def detokenize(request: Request) -> Response:
        return await _answer(service, request, wire.read_detokenize, wire.detokenized)

    return [
        Route("/api/tokenize", tokenize, methods=["POST"]),
        Route("/api/detokenize", detokenize, methods=["POST"]),
    ]


async def _answer(service: Service, request: Request, read: wire.Read, body: Body) -> Response:
    question = read(await read_json(request, limit=service.settings.max_body))
    if isinstance(question.request, TokenizeRequest):
        check_text(service.settings, len(question.request.text))
    asked, stay_s = question.request, question.keep_alive_s
    found = await unless_gone(request, in_thread(service.tokens, asked, keep_alive_s=stay_s, options=question.options))
    if found is None:
        return CLOSED
    return json_response(await in_thread(body, asked.model, found))
