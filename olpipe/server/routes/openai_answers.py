"""OpenAI's routes that ask a model: chat completions, text completions and responses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from olpipe.errors import OlpipeError
from olpipe.generation import Chunk
from olpipe.server.bodies.body import read_json
from olpipe.server.bodies.event_streams import stream
from olpipe.server.bodies.fields import Fields
from olpipe.server.bodies.responses import CLOSED, json_response
from olpipe.server.bridge import in_thread, unless_gone
from olpipe.server.edge.clients import client_of
from olpipe.server.question import Question
from olpipe.server.service import Service
from olpipe.server.several import Answers, asking
from olpipe.server.wire.openai_chat import ChatWriter, read_chat
from olpipe.server.wire.openai_completions import TextWriter, read_completion
from olpipe.server.wire.responses_reading import read_responses
from olpipe.server.wire.responses_writing import ResponseWriter


class Asked(Protocol):
    """What a body asks."""

    @property
    def questions(self) -> tuple[Question, ...]:
        """One question for each answer."""

    @property
    def stream(self) -> bool:
        """Whether the answer is sent as it is written."""


class Writer(Protocol):
    """Writes the answers to one request."""

    def whole(self, answers: Sequence[Sequence[Chunk]]) -> dict[str, Any]:
        """Return the answers, each in pieces, as one body."""

    def write(self, item: tuple[int, Chunk]) -> bytes:
        """Return the events of a piece of an answer, which comes with the answer's place."""

    def end(self) -> bytes:
        """Return the events after the last piece."""

    def failed(self, error: OlpipeError) -> bytes:
        """Return the events that end the stream because of an error."""


A = TypeVar("A", bound=Asked)


def routes(service: Service) -> list[Route]:
    """Return the routes."""

    async def chat(request: Request) -> Response:
        return await _answer(service, request, read_chat, ChatWriter)

    async def completions(request: Request) -> Response:
        return await _answer(service, request, read_completion, TextWriter)

    async def responses(request: Request) -> Response:
        return await _answer(service, request, read_responses, ResponseWriter)

    return [
        Route("/v1/chat/completions", chat, methods=["POST"]),
        Route("/v1/completions", completions, methods=["POST"]),
        Route("/v1/responses", responses, methods=["POST"]),
    ]


async def _answer(
    service: Service, request: Request, read: Callable[[Fields], A], writing: Callable[[A, Answers], Writer]
) -> Response:
    fields = await read_json(request, limit=service.settings.max_body)
    asked = await in_thread(read, fields)
    answers = await unless_gone(request, asking(service, asked.questions, client=client_of(request)))
    if answers is None:
        return CLOSED
    writer = writing(asked, answers)
    if asked.stream:
        return await stream(request, answers.chunks(), writer.write, writer.end, writer.failed)
    whole = await unless_gone(request, answers.whole())
    return CLOSED if whole is None else json_response(writer.whole(whole))
