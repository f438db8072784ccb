"""Ollama's own API: questions from bodies, and bodies from answers.

Source: https://github.com/ollama/ollama/blob/main/api/types.go
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, get_args

import orjson

from olpipe.asking.options import Options
from olpipe.asking.wishes import SERVED, Wishes, holding_to
from olpipe.durations import duration
from olpipe.errors import ModelCorrupt, SchemaError
from olpipe.families.compiling import compile_template
from olpipe.generation import (
    MOST_TOP_LOGPROBS,
    Chunk,
    Completion,
    FinishReason,
    Guidance,
    Thinking,
    Timings,
    TokenLogprobs,
    Tool,
    Usage,
)
from olpipe.guidance.tools import arguments_schema
from olpipe.image import ShownImage
from olpipe.messages import Part, Role, TextPart, ThinkingPart, ToolCallPart, ToolResultPart
from olpipe.server.bodies.fields import Fields
from olpipe.server.question import EncodedImage, Question, Turn, VectorQuestion
from olpipe.server.refusal import Refusal
from olpipe.server.wire.images import from_url
from olpipe.server.wire.ollama_options import read_options, read_request_options
from olpipe.server.wire.tool_choices import choose_tools

_THINKING = {"true": "on", "false": "off", "high": "high", "medium": "medium", "low": "low", "max": "max"}
_ROLES = frozenset(get_args(Role))
_NO_PARAMETERS = {"type": "object", "properties": {}}


# --- questions --------------------------------------------------------------------------------------


def read_generate(fields: Fields) -> Question:
    """Read the body of /api/generate.

    Raises:
        Refusal: A field cannot be used.
        SchemaError: No answer can be held to the format.
    """
    raw, suffix = fields.flag("raw"), fields.text("suffix")
    system, prompt = fields.text("system"), fields.text("prompt")
    images = _images(fields)
    if raw and (fields.text("template") or system or fields.items("context")):
        raise Refusal(400, "raw mode does not support template, system, or context")
    turns = [Turn("system", (TextPart(system),))] if system else []
    if prompt or images or suffix:
        turns.append(Turn("user", (*images, TextPart(prompt))))
    question = _question(fields, turns if prompt or images or suffix else [])
    needs = ("completion", "insert") if suffix else ("completion",)
    wishes = replace(question.wishes, raw=raw, suffix=suffix or None, template=_template(fields.text("template")))
    return replace(question, needs=needs, wishes=wishes)


def read_chat(fields: Fields) -> Question:
    """Read the body of /api/chat.

    Raises:
        Refusal: A field cannot be used.
        SchemaError: No answer can be held to the format.
    """
    if not fields.text("model"):
        raise Refusal(400, "model is required")
    question = _question(fields, [_turn(message) for message in fields.each("messages")])
    tools = choose_tools(fields, tuple(_tool(tool) for tool in fields.each("tools")))
    wishes = replace(question.wishes, tools=tools.each, tool_choice=tools.choice)
    return replace(question, needs=tools.needs(think=None), wishes=wishes)


def read_vectors(fields: Fields, *, name: str = "input") -> VectorQuestion:
    """Read the body of /api/embed, or of /api/embeddings, where the text is called `prompt`.

    Raises:
        Refusal: A field cannot be used.
    """
    given = fields.any(name)
    texts = [given] if isinstance(given, str) else [] if given is None else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Refusal(400, "invalid input type")
    dimensions = fields.whole("dimensions")
    truncate = fields.optional_flag("truncate")
    options = read_options(fields.inner("options"))
    return VectorQuestion(
        model_of(fields),
        tuple(texts),
        dimensions or None,
        truncate is not False,
        options.load,
        read_keep_alive(fields),
    )


def model_of(fields: Fields) -> str:
    """Return the model of a request, which older clients call `name`."""
    return fields.text("model") or fields.text("name")


def read_keep_alive(fields: Fields) -> float | None:
    """Return how many seconds a model stays loaded; None where the request does not say.

    Raises:
        Refusal: It is neither a number of seconds nor a duration.
    """
    value = fields.any("keep_alive")
    if value is None:
        return None
    if isinstance(value, str):
        try:
            return duration(value)
        except ValueError as error:
            raise Refusal(400, f'time: invalid duration "{value}"', hint=str(error)) from error
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refusal(400, f"Unsupported type: '{type(value).__name__}'")
    return float(value)


def read_format(value: Any) -> Guidance | None:
    """Return what an answer is held to: `json`, a schema, or `{"type": "regex"|"lark", …}`.

    Raises:
        Refusal: The format is of another kind.
        SchemaError: No answer can be held to the schema.
    """
    if value in (None, ""):
        return None
    if value == "json":
        return holding_to("json")
    if not isinstance(value, dict):
        shown = orjson.dumps(value).decode()
        raise Refusal(500, f'invalid format: {shown}; expected "json" or a valid JSON Schema object')
    kind = value.get("type")
    if kind in ("regex", "lark"):
        source = value.get("pattern" if kind == "regex" else "grammar", value.get("source"))
        if not isinstance(source, str) or not source:
            key = "pattern" if kind == "regex" else "grammar"
            raise SchemaError(f"a format of the type `{kind}` needs `{key}`, a text")
        return Guidance(kind, source)
    return holding_to(orjson.dumps(value).decode())


def _question(fields: Fields, turns: list[Turn]) -> Question:
    """Read what the two ways of asking have in common."""
    options = read_request_options(fields)
    return Question(
        model=fields.text("model"),
        turns=tuple(turns),
        wishes=_wishes(fields, options),
        options=options.load,
        keep_alive_s=read_keep_alive(fields),
        stream=fields.flag("stream", default=True),
        opens=fields.flag("opening", default=True),
    )


def _wishes(fields: Fields, options: Options) -> Wishes:
    return Wishes(
        held_to=read_format(fields.any("format")),
        sampling=options.sampling,
        perceivers=tuple(fields.texts("perceivers")) if "perceivers" in fields else None,
        think=_think(fields.any("think")),
        top_logprobs=_logprobs(fields),
        context_length=options.load.context_length,
        truncate=fields.flag("truncate", default=True),
        usual=SERVED,
    )


def _template(text: str) -> str:
    """Return a chat template that can be used for a request.

    Raises:
        Refusal: It is not valid.
    """
    if not text:
        return ""
    try:
        compile_template(text)
    except ModelCorrupt as error:
        raise Refusal(400, error.message.replace("the model's chat template", "`template`")) from error
    return text


def _think(value: Any) -> Thinking | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "on" if value else "off"
    if not isinstance(value, str):
        raise Refusal(400, 'think must be a boolean or string ("high", "medium", "low", "max", true, or false)')
    if value not in _THINKING:
        raise Refusal(400, f'invalid think value: "{value}" (must be "high", "medium", "low", "max", true, or false)')
    return _THINKING[value]  # type: ignore[return-value]


def _logprobs(fields: Fields) -> int | None:
    top = fields.whole("top_logprobs") or 0
    if not 0 <= top <= MOST_TOP_LOGPROBS:
        raise Refusal(400, f"top_logprobs must be between 0 and {MOST_TOP_LOGPROBS}")
    return top if fields.flag("logprobs") else None


def _images(fields: Fields) -> tuple[EncodedImage, ...]:
    texts = fields.texts("images")
    return tuple(from_url(text, f"{fields.place('images')}[{at}]") for at, text in enumerate(texts))


def _turn(message: Fields) -> Turn:
    role = message.text("role").lower()
    if role not in _ROLES:
        role = "user"  # Ollama takes any role; templates know only these
    text, parts = message.text("content"), list[Part | EncodedImage]()
    if thinking := message.text("thinking"):
        parts.append(ThinkingPart(thinking))
    parts += _images(message)
    if role == "tool":
        call_id = message.text("tool_call_id")
        parts.append(ToolResultPart(call_id, message.text("tool_name") or message.text("name"), text))
    elif text or not (parts or message.items("tool_calls")):
        parts.append(TextPart(text))
    parts += [_call(call) for call in message.each("tool_calls")]
    return Turn(role, tuple(parts))  # type: ignore[arg-type]


def _call(fields: Fields) -> ToolCallPart:
    function = fields.inner("function")
    if function is None:
        raise Refusal(400, f"`{fields.place('function')}` is missing")
    arguments = function.inner("arguments")
    text = orjson.dumps(arguments.values if arguments is not None else {}).decode()
    return ToolCallPart(fields.text("id"), function.text("name"), text)


def _tool(fields: Fields) -> Tool:
    function = fields.inner("function")
    if function is None or not function.text("name"):
        raise Refusal(400, f"`{fields.place('function.name')}` is missing")
    parameters = function.inner("parameters")
    schema = orjson.dumps(parameters.values if parameters is not None else _NO_PARAMETERS).decode()
    tool = Tool(function.text("name"), function.text("description"), schema)
    arguments_schema(tool)
    return tool


# --- answers ----------------------------------------------------------------------------------------


def now() -> str:
    """Return the present time as Ollama writes it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def line(body: Mapping[str, Any]) -> bytes:
    """Return a line of a stream."""
    return orjson.dumps(body) + b"\n"


def generate_piece(model: str, chunk: Chunk) -> dict[str, Any]:
    """Return a piece of an answer of /api/generate."""
    body: dict[str, Any] = {"model": model, "created_at": now(), "response": chunk.text}
    if chunk.thinking:
        body["thinking"] = chunk.thinking
    if chunk.tool_calls:
        body["tool_calls"] = _calls(chunk.tool_calls, 0)
    return _end(body, chunk)


def chat_piece(model: str, chunk: Chunk, calls_before: int = 0) -> dict[str, Any]:
    """Return a piece of an answer of /api/chat.

    Args:
        model: The model, as the client spelled it.
        chunk: The piece.
        calls_before: How many tool calls earlier pieces had.
    """
    message: dict[str, Any] = {"role": "assistant", "content": chunk.text}
    if chunk.thinking:
        message["thinking"] = chunk.thinking
    if chunk.tool_calls:
        message["tool_calls"] = _calls(chunk.tool_calls, calls_before)
    return _end({"model": model, "created_at": now(), "message": message}, chunk)


def whole(completion: Completion) -> Chunk:
    """Return an answer as one piece."""
    return Chunk(
        completion.text,
        completion.thinking,
        completion.tool_calls,
        completion.finish_reason,
        completion.usage,
        completion.timings,
        completion.logprobs,
        completion.shown,
    )


def loaded(model: str, *, chat: bool, unloaded: bool) -> dict[str, Any]:
    """Return the answer to a request that only loads or unloads a model."""
    said: dict[str, Any] = {"message": {"role": "assistant", "content": ""}} if chat else {"response": ""}
    reason = "unload" if unloaded else "load"
    return {"model": model, "created_at": now(), **said, "done": True, "done_reason": reason}


def _end(body: dict[str, Any], chunk: Chunk) -> dict[str, Any]:
    """Add what every piece has, and what only the last one has."""
    body["done"] = chunk.finish_reason is not None
    if chunk.logprobs:
        body["logprobs"] = [_likelihood(one) for one in chunk.logprobs]
    if chunk.finish_reason is not None:
        reason = FinishReason.STOP if chunk.finish_reason is FinishReason.TOOL_CALLS else chunk.finish_reason
        body["done_reason"] = reason.value
        body |= metrics(chunk.usage or Usage(), chunk.timings or Timings(), chunk.shown)
    return body


def metrics(usage: Usage, timings: Timings, shown: Sequence[ShownImage] = ()) -> dict[str, Any]:
    """Return the counts and times at the end of an answer: Ollama's, then ours."""
    prompt_ns = timings.prompt_ns + timings.fit_ns + timings.encode_ns
    body: dict[str, Any] = {
        "total_duration": timings.load_ns + timings.queue_ns + prompt_ns + timings.decode_ns,
        "load_duration": timings.load_ns,
        "prompt_eval_count": usage.prompt_tokens,
        "prompt_eval_cached_count": timings.reused_tokens,
        "prompt_eval_duration": prompt_ns,
        "eval_count": usage.sampled_tokens + usage.forced_tokens,
        "eval_duration": timings.decode_ns,
        "queue_duration": timings.queue_ns,
        "eval_forced_count": usage.forced_tokens,
        "spliced_count": usage.spliced_tokens,
    }
    if shown:
        sizes = [{"width": image.width, "height": image.height, "tokens": image.tokens} for image in shown]
        body |= {"images": sizes, "fit_duration": timings.fit_ns, "encode_duration": timings.encode_ns}
    if usage.cut_tokens:
        body |= {"truncated": True, "truncated_messages": usage.cut_messages, "truncated_tokens": usage.cut_tokens}
    return body


def _calls(calls: tuple[ToolCallPart, ...], before: int) -> list[dict[str, Any]]:
    return [
        {
            "id": call.call_id,
            "function": {"index": before + at, "name": call.name, "arguments": orjson.loads(call.arguments)},
        }
        for at, call in enumerate(calls)
    ]


def _likelihood(one: TokenLogprobs) -> dict[str, Any]:
    """Return how likely a token was. A token that was forced had no other choice, so its logarithm is 0."""
    data = bytes(one.data)
    top = [
        {"token": bytes(other.data).decode(errors="replace"), "logprob": other.logprob, "bytes": list(other.data)}
        for other in one.top_raw
    ]
    logprob = one.raw if one.raw is not None else one.constrained or 0.0
    said: dict[str, Any] = {"token": data.decode(errors="replace"), "logprob": logprob, "bytes": list(data)}
    return said | ({"top_logprobs": top} if top else {})
