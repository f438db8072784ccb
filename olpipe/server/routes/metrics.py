"""The route that says what the server has done so far, for Prometheus."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from olpipe.server.bridge import in_thread
from olpipe.server.metrics import CONTENT_TYPE
from olpipe.server.service import Service


def routes(service: Service) -> list[Route]:
    """Return the routes."""

    async def metrics(request: Request) -> Response:
        return Response(await in_thread(service.metrics.page), headers={"Content-Type": CONTENT_TYPE})

    return [Route("/metrics", metrics, methods=["GET"])]
