"""Ollama's routes that ask a model: generate and chat."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from olpipe.errors import OlpipeError
from olpipe.generation import Chunk
from olpipe.server.asking import Answering, answering
from olpipe.server.body import read_json
from olpipe.server.bridge import in_thread, unless_gone
from olpipe.server.fields import Fields
from olpipe.server.question import Question
from olpipe.server.responses import CLOSED, json_response, ndjson
from olpipe.server.service import Service
from olpipe.server.wire import failures, ollama

Piece = Callable[[str, Chunk, int], dict[str, Any]]


def routes(service: Service) -> list[Route]:
    """Return the routes."""

    async def generate(request: Request) -> Response:
        return await _answer(service, request, ollama.read_generate, _generate_piece, chat=False)

    async def chat(request: Request) -> Response:
        return await _answer(service, request, ollama.read_chat, ollama.chat_piece, chat=True)

    return [Route("/api/generate", generate, methods=["POST"]), Route("/api/chat", chat, methods=["POST"])]


async def _answer(
    service: Service, request: Request, read: Callable[[Fields], Question], piece: Piece, *, chat: bool
) -> Response:
    fields = await read_json(request, limit=service.settings.max_body)
    question = await in_thread(read, fields)
    if question.is_empty:
        return json_response(await in_thread(_load_only, service, question, chat=chat))
    answer = await unless_gone(request, answering(service, question, client=_client(request)))
    if answer is None:
        return CLOSED
    if question.stream:
        return ndjson(_lines(question, answer, piece))
    completion = await unless_gone(request, answer.completion())
    if completion is None:
        return CLOSED
    return json_response(piece(question.model, ollama.whole(completion), 0))


async def _lines(question: Question, answer: Answering, piece: Piece) -> AsyncIterator[bytes]:
    """Yield the lines of a stream. The last of them has `done: true`, or `error`."""
    calls = 0
    try:
        async for chunk in answer.chunks():
            yield ollama.line(piece(question.model, chunk, calls))
            calls += len(chunk.tool_calls)
    except OlpipeError as error:
        yield ollama.line(failures.native(error))


def _generate_piece(model: str, chunk: Chunk, calls_before: int) -> dict[str, Any]:
    return ollama.generate_piece(model, chunk)


def _load_only(service: Service, question: Question, *, chat: bool) -> dict[str, Any]:
    """Load the model that nothing is asked of, or unload it where it is to be kept for no time."""
    unloads = question.keep_alive_s == 0
    if unloads:
        service.unload(question.model)
    else:
        service.load(question.model, keep_alive_s=question.keep_alive_s, options=question.options)
    return ollama.loaded(question.model, chat=chat, unloaded=unloads)


def _client(request: Request) -> str:
    return request.client.host if request.client else ""
