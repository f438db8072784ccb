"""Ollama's routes that ask a model: generate and chat."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from olpipe.errors import OlpipeError
from olpipe.generation import Chunk
from olpipe.guidance.interpreter import left_out
from olpipe.server.asking import Answering, answering
from olpipe.server.bodies.body import read_json
from olpipe.server.bodies.event_streams import begun
from olpipe.server.bodies.fields import Fields
from olpipe.server.bodies.responses import CLOSED, json_response, ndjson
from olpipe.server.bridge import in_thread, unless_gone
from olpipe.server.edge.clients import client_of
from olpipe.server.question import Question
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
        loaded = await unless_gone(request, in_thread(_load_only, service, question, chat=chat))
        return CLOSED if loaded is None else json_response(loaded)
    answer = await unless_gone(request, answering(service, question, client=client_of(request)))
    if answer is None:
        return CLOSED
    if question.stream:
        chunks = await unless_gone(request, begun(answer.chunks()))
        return CLOSED if chunks is None else ndjson(_lines(question, chunks, piece, _held_to(answer)))
    completion = await unless_gone(request, answer.completion())
    if completion is None:
        return CLOSED
    return json_response(piece(question.model, ollama.whole(completion), 0) | _held_to(answer))


async def _lines(
    question: Question, chunks: AsyncIterator[Chunk], piece: Piece, last: Mapping[str, Any]
) -> AsyncIterator[bytes]:
    """Yield the lines of a stream. The last of them has `done: true` and the fields `last`, or it has `error`."""
    calls = 0
    try:
        async with aclosing(cast(Any, chunks)):
            async for chunk in chunks:
                lines = [piece(question.model, part, calls) for part in _parts(chunk)]
                if chunk.finish_reason is not None:
                    lines[-1] |= last
                yield b"".join(map(ollama.line, lines))
                calls += len(chunk.tool_calls)
    except OlpipeError as error:
        yield ollama.line(failures.native(error))


def _parts(chunk: Chunk) -> Iterator[Chunk]:
    """Yield what a chunk says, then that the answer is over: clients do not look for text in the line that says so."""
    said = Chunk(chunk.text, chunk.thinking, chunk.tool_calls, logprobs=chunk.logprobs)
    if chunk.finish_reason is None or said != Chunk():
        yield said
    if chunk.finish_reason is not None:
        yield replace(chunk, text="", thinking="", tool_calls=(), logprobs=())


def _generate_piece(model: str, chunk: Chunk, calls_before: int) -> dict[str, Any]:
    return ollama.generate_piece(model, chunk)


def _held_to(answer: Answering) -> dict[str, Any]:
    """Return the schema that an answer is held to, and what was left out of the client's, where the two differ."""
    given, held = answer.asked.question.wishes.held_to, answer.asked.request.guidance
    if given is None or held is None or held.kind != "json_schema" or held.source == given.source:
        return {}
    return {"format": orjson.loads(held.source), "left_out": list(left_out(given, held))}


def _load_only(service: Service, question: Question, *, chat: bool) -> dict[str, Any]:
    """Load the model that nothing is asked of, or unload it where it is to be kept for no time."""
    unloads = question.keep_alive_s == 0
    if unloads:
        service.unload(question.model)
    else:
        for name in question.wishes.perceivers or ():
            service.plugins.perceivers.get(name)
        service.load(question.model, keep_alive_s=question.keep_alive_s, options=question.options)
    return ollama.loaded(question.model, chat=chat, unloaded=unloads)
