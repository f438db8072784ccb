"""OpenAI's chat completions: questions from bodies, and bodies and events from answers.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from olpipe.asking.wishes import Wishes
from olpipe.errors import OlpipeError
from olpipe.generation import Chunk, Completion, Timings, Usage
from olpipe.messages import ToolCallPart
from olpipe.server.bodies.event_streams import DONE, event
from olpipe.server.bodies.fields import Fields
from olpipe.server.question import Question
from olpipe.server.refusal import Refusal
from olpipe.server.several import Answers
from olpipe.server.wire import failures
from olpipe.server.wire import openai_options as options
from olpipe.server.wire.openai_answers import (
    FINGERPRINT,
    Body,
    counts_of,
    cut,
    finish_reason,
    likelihood,
    new_id,
    speaks,
    spoken,
    usage,
)
from olpipe.server.wire.openai_messages import read_messages
from olpipe.server.wire.openai_tools import read_tools

_UNSUPPORTED = {
    "functions": "describe the functions in `tools`",
    "function_call": "say it in `tool_choice`",
    "audio": "ask for text",
    "web_search_options": "offer a function that searches, and run it yourself",
}


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """The body of /v1/chat/completions.

    Attributes:
        questions: One question for each answer.
        stream: Whether the answer is sent as it is written.
        include_usage: Whether a stream says how many tokens there were.
    """

    questions: tuple[Question, ...]
    stream: bool
    include_usage: bool


def read_chat(fields: Fields) -> ChatRequest:
    """Read the body of /v1/chat/completions.

    Raises:
        Refusal: A field cannot be used.
        SchemaError: No answer can be held to the format, or no arguments to the schema of a tool.
    """
    model = read_model(fields)
    for name, hint in _UNSUPPORTED.items():
        if name in fields:
            raise Refusal(400, f"`{name}` is not supported", hint=hint)
    tools = read_tools(fields)
    reasoning = fields.inner("reasoning")
    effort = reasoning.text("effort") if reasoning is not None else fields.text("reasoning_effort")
    think = options.read_effort(effort)
    stream = fields.flag("stream")
    wishes = Wishes(
        held_to=options.read_held_to(fields.inner("response_format"), schema_in="json_schema"),
        sampling=options.read_sampling(fields, "max_completion_tokens", "max_tokens"),
        usual=options.USUAL_SAMPLING,
        think=think,
        tools=tools.each,
        tool_choice=tools.choice,
        top_logprobs=options.read_top_logprobs(fields, wanted=fields.flag("logprobs")),
        truncate=fields.flag("truncate", default=True),
    )
    question = Question(model, read_messages(fields), wishes, stream=stream, needs=tools.needs(think))
    questions = options.copies(question, options.read_count(fields))
    return ChatRequest(questions, stream, read_include_usage(fields))


def read_model(fields: Fields) -> str:
    """Return the model of a request.

    Raises:
        Refusal: There is none.
    """
    model = fields.text("model")
    if not model:
        raise Refusal(400, "model is required")
    return model


def read_include_usage(fields: Fields) -> bool:
    """Return whether a stream says how many tokens there were."""
    wanted = fields.inner("stream_options")
    return wanted is not None and wanted.flag("include_usage")


class ChatWriter:
    """Writes the answers of one request: as one body, or as the events of a stream."""

    def __init__(self, request: ChatRequest, answers: Answers) -> None:
        """Begin. All events of a stream have the same id and the same time."""
        model = request.questions[0].model
        self._head: Body = {"id": new_id("chatcmpl-"), "created": int(time.time()), "model": model}
        self._include_usage = request.include_usage
        self._calls = [0] * len(answers.each)
        self._began = [False] * len(answers.each)
        self._is_text = [True] * len(answers.each)
        self._counts = [(Usage(), Timings())] * len(answers.each)

    def whole(self, answers: Sequence[Sequence[Chunk]]) -> Body:
        """Return the answers, each in pieces, as one body."""
        counts = counts_of(map(Completion.of, answers))
        return {
            **self._head,
            "object": "chat.completion",
            "system_fingerprint": FINGERPRINT,
            "choices": [self._choice(at, chunks) for at, chunks in enumerate(answers)],
            "usage": usage(counts, each=len(counts)),
            **cut(counts[0][0]),
        }

    def write(self, item: tuple[int, Chunk]) -> bytes:
        """Return the events of a piece of an answer."""
        return b"".join(self._events(*item))

    def end(self) -> bytes:
        """Return the events after the last piece."""
        if not self._include_usage:
            return DONE
        counted = usage(self._counts, each=len(self._counts))
        return event({**self._event_head(), "choices": [], "usage": counted}) + DONE

    def failed(self, error: OlpipeError) -> bytes:
        """Return the event that ends a stream because of an error."""
        return event(failures.openai(error))

    def _events(self, at: int, chunk: Chunk) -> Iterator[bytes]:
        """Yield events. Thinking and text never share one: clients look at the first that they know."""
        self._is_text[at] = speaks(chunk, self._is_text[at])
        logprobs = [likelihood(one) for one in chunk.logprobs] if self._is_text[at] else []
        rest = bool(chunk.text or chunk.tool_calls)
        if chunk.thinking:
            yield self._delta(at, {"content": "", "reasoning": chunk.thinking}, [])
        if rest or logprobs:
            delta: Body = {"content": chunk.text}
            if chunk.tool_calls:
                delta["tool_calls"] = self._numbered(at, chunk.tool_calls)
            yield self._delta(at, delta, logprobs)
        if chunk.finish_reason is not None:
            used = chunk.usage or Usage()
            self._counts[at] = (used, chunk.timings or Timings())
            reason = finish_reason(chunk.finish_reason, calls=self._calls[at] > 0)
            if not self._began[at]:
                yield self._delta(at, {"content": ""}, [])
            yield self._event(at, {}, None, reason, cut(used))

    def _delta(self, at: int, delta: Body, logprobs: list[Body]) -> bytes:
        if not self._began[at]:
            self._began[at] = True
            delta = {"role": "assistant", **delta}
        return self._event(at, delta, {"content": logprobs, "refusal": None} if logprobs else None, None, {})

    def _event(self, at: int, delta: Body, logprobs: Body | None, reason: str | None, more: Body) -> bytes:
        choice = {"index": at, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        return event({**self._event_head(), "choices": [choice], **more})

    def _event_head(self) -> Body:
        head = {**self._head, "object": "chat.completion.chunk", "system_fingerprint": FINGERPRINT}
        return head | ({"usage": None} if self._include_usage else {})

    def _numbered(self, at: int, calls: Sequence[ToolCallPart]) -> list[Body]:
        first = self._calls[at]
        self._calls[at] += len(calls)
        return [{"index": first + place, **_call(call)} for place, call in enumerate(calls)]

    def _choice(self, at: int, chunks: Sequence[Chunk]) -> Body:
        completion = Completion.of(chunks)
        calls = [_call(call) for call in completion.tool_calls]
        message: Body = {"role": "assistant", "content": completion.text or (None if calls else ""), "refusal": None}
        if completion.thinking:
            message["reasoning"] = completion.thinking
        if calls:
            message["tool_calls"] = calls
        logprobs = [likelihood(one) for one in spoken(chunks)]
        return {
            "index": at,
            "message": message,
            "logprobs": {"content": logprobs, "refusal": None} if logprobs else None,
            "finish_reason": finish_reason(completion.finish_reason, calls=bool(calls)),
        }


def _call(call: ToolCallPart) -> Body:
    return {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
