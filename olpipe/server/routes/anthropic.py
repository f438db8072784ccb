"""Anthropic's routes: messages, and how many tokens a message has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from olpipe.server.asking import answering
from olpipe.server.bodies.body import read_json
from olpipe.server.bodies.event_streams import stream
from olpipe.server.bodies.fields import Fields
from olpipe.server.bodies.pauses import with_pauses
from olpipe.server.bodies.responses import CLOSED, json_response
from olpipe.server.bridge import in_thread, unless_gone
from olpipe.server.edge.clients import client_of
from olpipe.server.edge.request_ids import request_id
from olpipe.server.question import Question
from olpipe.server.service import Service
from olpipe.server.wire import anthropic
from olpipe.server.wire.anthropic_answers import MessageEvents, failed, message

PING_EVERY_S = 10.0
"""A stream with nothing to say sends a ping this often, so that nobody between here and the client closes it."""


def routes(service: Service) -> list[Route]:
    """Return the routes."""

    async def messages(request: Request) -> Response:
        fields = await read_json(request, limit=service.settings.max_body)
        question = await in_thread(_read, service, fields, anthropic.read_message)
        answer = await unless_gone(request, answering(service, question, client=client_of(request)))
        if answer is None:
            return CLOSED
        if question.stream:
            said, told = MessageEvents(question.model), request_id(request)
            chunks = with_pauses(answer.chunks(), PING_EVERY_S)
            return await stream(request, chunks, said.write, bytes, lambda error: failed(error, told))
        completion = await unless_gone(request, answer.completion())
        return CLOSED if completion is None else json_response(message(question.model, completion))

    async def count_tokens(request: Request) -> Response:
        fields = await read_json(request, limit=service.settings.max_body)
        question = await in_thread(_read, service, fields, anthropic.read_prompt)
        (question,) = await service.image_urls.with_images([question])
        counted = await unless_gone(request, in_thread(service.count_tokens, question))
        return CLOSED if counted is None else json_response({"input_tokens": counted})

    return [
        Route("/v1/messages", messages, methods=["POST"]),
        Route("/v1/messages/count_tokens", count_tokens, methods=["POST"]),
    ]


def _read(service: Service, fields: Fields, read: Callable[[Fields], Question]) -> Question:
    """Read a question. A model that cannot think is not asked to: Ollama does the same, for this API only."""
    question = read(fields)
    if "thinking" in service.bundle(question.model).config.capabilities:
        return question
    return replace(question, wishes=replace(question.wishes, think=None))
