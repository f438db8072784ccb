"""Routes that say that the server is there, and which one it is."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from olpipe import __version__
from olpipe.server.bodies.responses import json_response
from olpipe.server.routes.page import page, wants_page
from olpipe.server.service import Service

RUNNING = "Ollama is running"
"""What Ollama says at `/`. Clients compare the text. Browsers get a page there."""

PRODUCT = "olpipe"


def routes(service: Service) -> list[Route]:
    """Return the routes."""

    async def root(request: Request) -> Response:
        return page() if wants_page(request) else PlainTextResponse(RUNNING, headers={"Vary": "Accept"})

    async def version(request: Request) -> Response:
        return json_response({"version": __version__, "product": PRODUCT})

    return [Route("/", root, methods=["GET"]), Route("/api/version", version, methods=["GET"])]
