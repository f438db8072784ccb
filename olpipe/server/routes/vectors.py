"""Ollama's routes that turn texts into vectors."""

from __future__ import annotations

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from olpipe.embedding import Embeddings
from olpipe.server.bodies.body import read_json
from olpipe.server.bodies.responses import CLOSED, json_response
from olpipe.server.bridge import in_thread, unless_gone
from olpipe.server.edge.clients import client_of
from olpipe.server.question import VectorQuestion
from olpipe.server.service import Service
from olpipe.server.wire import ollama


def routes(service: Service) -> list[Route]:
    """Return the routes."""

    async def embed(request: Request) -> Response:
        started_ns = time.monotonic_ns()
        fields = await read_json(request, limit=service.settings.max_body)
        question = ollama.read_vectors(fields)
        found = await unless_gone(request, in_thread(vectors_of, service, question, client=client_of(request)))
        if found is None:
            return CLOSED
        body: dict[str, Any] = {
            "model": question.model,
            "embeddings": [row.tolist() for row in found.vectors],
            "total_duration": time.monotonic_ns() - started_ns,
            "load_duration": found.timings.load_ns,
            "prompt_eval_count": found.prompt_tokens,
            "prompt_eval_duration": found.timings.prompt_ns,
        }
        return json_response(body)

    async def embeddings(request: Request) -> Response:
        fields = await read_json(request, limit=service.settings.max_body)
        question = ollama.read_vectors(fields, name="prompt")
        found = await unless_gone(request, in_thread(vectors_of, service, question, client=client_of(request)))
        if found is None:
            return CLOSED
        return json_response({"embedding": found.vectors[0].tolist() if len(found.vectors) else []})

    return [Route("/api/embed", embed, methods=["POST"]), Route("/api/embeddings", embeddings, methods=["POST"])]


def vectors_of(service: Service, question: VectorQuestion, *, client: str = "") -> Embeddings:
    """Wait for the vectors of some texts. Without texts, the model is only loaded."""
    import numpy as np

    if not any(question.texts):
        service.load(question.model, keep_alive_s=question.keep_alive_s, options=question.options)
        if not question.texts:
            return Embeddings(np.zeros((0, 0), np.float32), 0)
    found = service.embed(question, client=client).result()
    service.metrics.embedded(question.model, found)
    return found
