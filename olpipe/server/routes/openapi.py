"""The route that describes all routes."""

from __future__ import annotations

from functools import cache

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from olpipe.server.openapi.document import document
from olpipe.server.service import Service


def routes(service: Service) -> list[Route]:
    """Return the routes."""

    async def openapi(request: Request) -> Response:
        return Response(_written(), media_type="application/json; charset=utf-8")

    return [Route("/openapi.json", openapi, methods=["GET"])]


@cache
def _written() -> bytes:
    return orjson.dumps(document()) + b"\n"
