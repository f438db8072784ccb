"""The events of a response of OpenAI's API, in their order; the last of them holds the whole response.

    response.created, response.in_progress
    for each item of the output:
        response.output_item.added
        reasoning   reasoning_summary_part.added, reasoning_summary_text.delta…, …text.done, …part.done
        message     content_part.added, output_text.delta…, output_text.done, content_part.done
        call        function_call_arguments.delta, function_call_arguments.done
        response.output_item.done
    response.completed, response.incomplete or response.failed

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from olpipe.errors import GenerationError, OlpipeError
from olpipe.generation import Chunk, FinishReason, Timings, TokenLogprobs, Usage
from olpipe.messages import ToolCallPart
from olpipe.server.refusal import status_of
from olpipe.server.wire import failures
from olpipe.server.wire.openai_answers import Body, cut, finish_reason, likelihood, new_id

Kind = Literal["reasoning", "message"]
Status = Literal["in_progress", "completed", "incomplete"]

_PREFIXES: dict[Kind, str] = {"reasoning": "rs_", "message": "msg_"}


@dataclass(slots=True)
class _Item:
    """An item that is being written.

    Attributes:
        kind: What it is.
        id: Its id.
        index: Its place in the output.
        texts: What it says, as it came.
        logprobs: How likely its tokens were.
    """

    kind: Kind
    id: str
    index: int
    texts: list[str] = field(default_factory=list)
    logprobs: list[Body] = field(default_factory=list)

    def body(self, status: Status) -> Body:
        """Return the item as it stands."""
        body: Body = {"id": self.id, "type": self.kind, "status": status}
        done = status != "in_progress"
        if self.kind == "reasoning":
            return {**body, "summary": [self.part()] if done else []}
        return {**body, "role": "assistant", "content": [self.part()] if done else []}

    def part(self) -> Body:
        """Return the only part of the item as it stands."""
        text = "".join(self.texts)
        if self.kind == "reasoning":
            return {"type": "summary_text", "text": text}
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": list(self.logprobs)}


class ResponseEvents:
    """Turns the chunks of one answer into events."""

    def __init__(self, response: Body, namespaces: Mapping[str, tuple[str, str]]) -> None:
        """Begin with nothing.

        Args:
            response: The response, without what is only known in the end.
            namespaces: The namespace and the name of each function of a namespace, by the name that the model knows.
        """
        self._response = {**response, **_UNKNOWN}
        self._namespaces = namespaces
        self._output: list[Body] = []
        self._item: _Item | None = None
        self._answers = False  # whether there is a message or a call
        self._sent = 0

    @property
    def response(self) -> Body:
        """The response as it stands."""
        return {**self._response, "output": list(self._output)}

    def begin(self) -> Iterator[Body]:
        """Yield the events before all others."""
        yield self._event("response.created", response=self.response)
        yield self._event("response.in_progress", response=self.response)

    def feed(self, chunk: Chunk) -> Iterator[Body]:
        """Yield the events of a chunk; after the last chunk, those that end the response."""
        if chunk.thinking:
            yield from self._begin("reasoning")
            yield from self._thought(chunk.thinking)
        if chunk.text or (chunk.logprobs and self._writes("message")):
            yield from self._begin("message")
            yield from self._said(chunk.text, chunk.logprobs)
        for call in chunk.tool_calls:
            yield from self._call(call)
        if chunk.finish_reason is not None:
            yield from self._finish(chunk, chunk.finish_reason)

    def fail(self, error: OlpipeError) -> Iterator[Body]:
        """Yield the events that end the response because of an error."""
        yield from self._end("incomplete")
        told = failures.openai(error)["error"]["message"]
        code = "invalid_prompt" if status_of(error) < 500 else "server_error"
        self._response |= {"status": "failed", "error": {"code": code, "message": told}}
        yield self._event("response.failed", response=self.response)

    def _finish(self, chunk: Chunk, reason: FinishReason) -> Iterator[Body]:
        try:
            is_cut = finish_reason(reason, calls=False) == FinishReason.LENGTH
        except GenerationError as error:
            yield from self.fail(error)
            return
        if not self._answers and not is_cut:  # clients look for a message
            yield from self._begin("message")
        yield from self._end("incomplete" if is_cut else "completed")
        used = chunk.usage or Usage()
        self._response |= {"usage": _usage(used, chunk.timings or Timings()), **cut(used)}
        if is_cut:
            self._response |= {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
            yield self._event("response.incomplete", response=self.response)
        else:
            self._response |= {"status": "completed", "completed_at": int(time.time())}
            yield self._event("response.completed", response=self.response)

    # --- items ----------------------------------------------------------------------------------

    def _writes(self, kind: Kind) -> bool:
        return self._item is not None and self._item.kind == kind

    def _begin(self, kind: Kind) -> Iterator[Body]:
        """Begin an item, unless one of its kind is being written."""
        if self._writes(kind):
            return
        yield from self._end("completed")
        item = self._item = _Item(kind, new_id(_PREFIXES[kind]), len(self._output))
        self._answers |= kind == "message"
        yield self._event("response.output_item.added", output_index=item.index, item=item.body("in_progress"))
        added = "reasoning_summary_part" if kind == "reasoning" else "content_part"
        yield self._part_event(f"response.{added}.added", item, part=item.part())

    def _thought(self, text: str) -> Iterator[Body]:
        assert self._item is not None
        self._item.texts.append(text)
        yield self._part_event("response.reasoning_summary_text.delta", self._item, delta=text)

    def _said(self, text: str, logprobs: Iterable[TokenLogprobs]) -> Iterator[Body]:
        assert self._item is not None
        likely = [likelihood(one) for one in logprobs]
        self._item.texts.append(text)
        self._item.logprobs += likely
        delta = [_without_bytes(one) for one in likely]
        yield self._part_event("response.output_text.delta", self._item, delta=text, logprobs=delta)

    def _end(self, status: Status) -> Iterator[Body]:
        """End the item that is being written."""
        item, self._item = self._item, None
        if item is None:
            return
        text, part = "".join(item.texts), item.part()
        if item.kind == "reasoning":
            yield self._part_event("response.reasoning_summary_text.done", item, text=text)
            stopped: Body = {"status": status} if status == "incomplete" else {}
            yield self._part_event("response.reasoning_summary_part.done", item, part=part, **stopped)
        else:
            likely = [_without_bytes(one) for one in item.logprobs]
            yield self._part_event("response.output_text.done", item, text=text, logprobs=likely)
            yield self._part_event("response.content_part.done", item, part=part)
        self._output.append(item.body(status))
        yield self._event("response.output_item.done", output_index=item.index, item=self._output[-1])

    def _call(self, call: ToolCallPart) -> Iterator[Body]:
        yield from self._end("completed")
        self._answers = True
        namespace, name = self._namespaces.get(call.name, ("", call.name))
        body: Body = {"id": new_id("fc_"), "type": "function_call", "call_id": call.call_id, "name": name}
        if namespace:
            body["namespace"] = namespace
        place: Body = {"output_index": len(self._output)}
        begun = {**body, "status": "in_progress", "arguments": ""}
        yield self._event("response.output_item.added", **place, item=begun)
        of = {**place, "item_id": body["id"]}
        yield self._event("response.function_call_arguments.delta", **of, delta=call.arguments)
        yield self._event("response.function_call_arguments.done", **of, arguments=call.arguments)
        self._output.append({**body, "status": "completed", "arguments": call.arguments})
        yield self._event("response.output_item.done", **place, item=self._output[-1])

    def _part_event(self, type_: str, item: _Item, **values: Any) -> Body:
        index = "summary_index" if item.kind == "reasoning" else "content_index"
        return self._event(type_, item_id=item.id, output_index=item.index, **{index: 0}, **values)

    def _event(self, type_: str, **values: Any) -> Body:
        self._sent += 1
        return {"type": type_, "sequence_number": self._sent - 1, **values}


_UNKNOWN: Body = {
    "status": "in_progress",
    "completed_at": None,
    "error": None,
    "incomplete_details": None,
    "output": [],
    "usage": None,
}


def _usage(used: Usage, timings: Timings) -> Body:
    answer = used.sampled_tokens + used.forced_tokens
    return {
        "input_tokens": used.prompt_tokens,
        "input_tokens_details": {"cached_tokens": timings.reused_tokens, "cache_write_tokens": 0},
        "output_tokens": answer,
        "output_tokens_details": {"reasoning_tokens": used.thinking_tokens},
        "total_tokens": used.prompt_tokens + answer,
    }


def _without_bytes(likely: Body) -> Body:
    """Return how likely a token was, as events have it."""
    top = [{"token": other["token"], "logprob": other["logprob"]} for other in likely["top_logprobs"]]
    return {"token": likely["token"], "logprob": likely["logprob"], "top_logprobs": top}
