"""OpenAI's route that turns texts into vectors."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from olpipe.server.bodies.body import read_json
from olpipe.server.bodies.responses import CLOSED, json_response
from olpipe.server.bridge import in_thread, unless_gone
from olpipe.server.edge.clients import client_of
from olpipe.server.routes.vectors import vectors_of
from olpipe.server.service import Service
from olpipe.server.wire import openai_vectors as wire


def routes(service: Service) -> list[Route]:
    """Return the routes."""

    async def embeddings(request: Request) -> Response:
        fields = await read_json(request, limit=service.settings.max_body)
        question, format_ = wire.read_embeddings(fields)
        found = await unless_gone(request, in_thread(vectors_of, service, question, client=client_of(request)))
        if found is None:
            return CLOSED
        return json_response(await in_thread(wire.embeddings, question, found, format_))

    return [Route("/v1/embeddings", embeddings, methods=["POST"])]
