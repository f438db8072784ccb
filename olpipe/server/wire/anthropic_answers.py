"""Anthropic's API: answers as messages, whole or as a stream of events. `anthropic` has the other direction.

Source: https://docs.anthropic.com/en/docs/build-with-claude/streaming
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from typing import Any

import orjson

from olpipe.errors import OlpipeError
from olpipe.generation import Chunk, Completion, FinishReason, Timings, Usage
from olpipe.messages import ToolCallPart
from olpipe.server.bodies.event_streams import event
from olpipe.server.wire import failures

Body = dict[str, Any]

_STOP_REASONS = {
    FinishReason.STOP: "end_turn",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.CANCELLED: "pause_turn",
}


def message(model: str, completion: Completion) -> Body:
    """Return an answer as a message.

    Args:
        model: The model, as the client spelled it.
        completion: The answer.
    """
    blocks: list[Body] = []
    if completion.thinking:
        blocks.append(_thoughts(completion.thinking, _signature(completion.thinking)))
    if completion.text or not (completion.thinking or completion.tool_calls):
        blocks.append(_text(completion.text))
    blocks += [_call(call, orjson.loads(call.arguments)) for call in completion.tool_calls]
    ending = _ending(completion.finish_reason, completion.stopped_by)
    return _message(model, blocks, usage(completion.usage, completion.timings), ending)


def usage(used: Usage, timings: Timings) -> Body:
    """Return the counts of an answer. The tokens of the prompt are those that were read plus those in the cache."""
    body: Body = {
        "input_tokens": used.prompt_tokens - timings.reused_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": timings.reused_tokens,
        "output_tokens": used.sampled_tokens + used.forced_tokens,
        "output_tokens_details": {"thinking_tokens": used.thinking_tokens},
    }
    if used.cut_tokens:  # ours, named as in the answers of /api/chat
        body |= {"truncated": True, "truncated_messages": used.cut_messages, "truncated_tokens": used.cut_tokens}
    return body


class MessageEvents:
    """Turns the chunks of one answer into the events of its stream.

    A message is made of blocks, one after the other. A block begins when the first chunk of its kind comes, and ends
    when a chunk of another kind comes.
    """

    def __init__(self, model: str) -> None:
        """Begin with nothing.

        Args:
            model: The model, as the client spelled it.
        """
        self._model = model
        self._started = False
        self._blocks = 0
        self._open = ""
        self._thoughts = hashlib.sha256()

    def write(self, chunks: tuple[Chunk, ...]) -> bytes:
        """Return the events of some chunks; with the last chunk, those that end the message.

        Without a chunk, this is an event that says nothing.
        """
        start = b"" if self._started else self._start()
        self._started = True
        if not chunks:
            return start + _event({"type": "ping"})
        return start + b"".join(said for chunk in chunks for said in self._events(chunk))

    def _start(self) -> bytes:
        counts = usage(Usage(), Timings())  # they are known at the end only
        return _event({"type": "message_start", "message": _message(self._model, [], counts, _NO_ENDING)})

    def _events(self, chunk: Chunk) -> Iterator[bytes]:
        if chunk.thinking:
            yield from self._begin("thinking", _thoughts("", ""))
            self._thoughts.update(chunk.thinking.encode())
            yield self._delta("thinking_delta", thinking=chunk.thinking)
        if chunk.text:
            yield from self._begin("text", _text(""))
            yield self._delta("text_delta", text=chunk.text)
        for call in chunk.tool_calls:
            yield from self._end()
            yield from self._begin("tool_use", _call(call, {}))
            yield self._delta("input_json_delta", partial_json=call.arguments)
        if chunk.finish_reason is not None:
            yield from self._finish(chunk, chunk.finish_reason)

    def _finish(self, chunk: Chunk, reason: FinishReason) -> Iterator[bytes]:
        if not self._blocks:  # clients look at the first block of a message
            yield from self._begin("text", _text(""))
        yield from self._end()
        counts = usage(chunk.usage or Usage(), chunk.timings or Timings())
        yield _event({"type": "message_delta", "delta": _ending(reason, chunk.stopped_by), "usage": counts})
        yield _event({"type": "message_stop"})

    def _begin(self, kind: str, block: Body) -> Iterator[bytes]:
        """Open a block, unless one of its kind is open."""
        if self._open == kind:
            return
        yield from self._end()
        self._open = kind
        self._blocks += 1
        yield _event({"type": "content_block_start", "index": self._blocks - 1, "content_block": block})

    def _end(self) -> Iterator[bytes]:
        """Close the block that is open."""
        if not self._open:
            return
        if self._open == "thinking":
            yield self._delta("signature_delta", signature=_shown(self._thoughts))
            self._thoughts = hashlib.sha256()
        self._open = ""
        yield _event({"type": "content_block_stop", "index": self._blocks - 1})

    def _delta(self, kind: str, **values: str) -> bytes:
        delta = {"type": kind, **values}
        return _event({"type": "content_block_delta", "index": self._blocks - 1, "delta": delta})


def failed(error: OlpipeError, request_id: str) -> bytes:
    """Return the event that ends a stream because of an error."""
    return _event(failures.anthropic(error, request_id))


def _event(body: Body) -> bytes:
    return event(body, body["type"])


def _message(model: str, content: list[Body], counts: Body, ending: Body) -> Body:
    said = {"id": f"msg_{secrets.token_hex(12)}", "type": "message", "role": "assistant", "model": model}
    return {**said, "content": content, **ending, "usage": counts}


_NO_ENDING: Body = {"stop_reason": None, "stop_sequence": None}


def _ending(reason: FinishReason, stopped_by: str) -> Body:
    """Say why a message ended. A stop text is named only where it did that: the model may have called tools as well."""
    if reason is FinishReason.STOP and stopped_by:
        return {"stop_reason": "stop_sequence", "stop_sequence": stopped_by}
    return {"stop_reason": _STOP_REASONS[reason], "stop_sequence": None}


def _text(text: str) -> Body:
    return {"type": "text", "text": text}


def _thoughts(text: str, signature: str) -> Body:
    return {"type": "thinking", "thinking": text, "signature": signature}


def _call(call: ToolCallPart, arguments: Body) -> Body:
    return {"type": "tool_use", "id": call.call_id, "name": call.name, "input": arguments}


def _signature(thoughts: str) -> str:
    """Return the signature of some thoughts. Clients send thoughts back only with one, and nobody checks it here."""
    return _shown(hashlib.sha256(thoughts.encode()))


def _shown(digest: Any) -> str:
    return f"sha256:{digest.hexdigest()}"
