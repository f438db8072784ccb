"""Anthropic's API: questions from bodies. `anthropic_answers` has the other direction.

Source: https://docs.anthropic.com/en/api/messages
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import orjson

from olpipe.asking.wishes import Wishes, holding_to
from olpipe.generation import Guidance, Thinking, Tool, ToolChoice
from olpipe.guidance.schema import check_schema
from olpipe.messages import Part, Role, TextPart, ThinkingPart, ToolCallPart, ToolResultPart
from olpipe.server.bodies.fields import Fields
from olpipe.server.question import EncodedImage, Question, Turn
from olpipe.server.refusal import Refusal
from olpipe.server.wire.images import from_base64, from_url

MOST_TOKENS = (1 << 31) - 1
MOST_TEMPERATURE = 100.0

_ROLES = ("user", "assistant", "system")
_EFFORTS: dict[str, Thinking] = {"low": "low", "medium": "medium", "high": "high", "xhigh": "max", "max": "max"}
_THINKING: dict[str, Thinking | None] = {"enabled": "on", "disabled": "off", "adaptive": None, "between_tools": None}

Said = Part | EncodedImage


def read_message(fields: Fields) -> Question:
    """Read the body of /v1/messages.

    Raises:
        Refusal: A field is missing or cannot be used.
        SchemaError: No answer can be held to a schema.
    """
    question = read_prompt(fields)
    limit = fields.whole("max_tokens")
    if limit is None or limit < 1:
        raise Refusal(400, "max_tokens is required and must be positive")
    sampling: dict[str, Any] = {"max_tokens": min(limit, MOST_TOKENS)}
    for name, most in (("temperature", MOST_TEMPERATURE), ("top_p", 1.0)):
        if (value := fields.number(name)) is not None:
            sampling[name] = _within(fields, name, value, most)
    if (top_k := fields.whole("top_k")) is not None:
        sampling["top_k"] = int(_within(fields, "top_k", top_k, MOST_TOKENS))
    if stop := tuple(text for text in fields.texts("stop_sequences") if text):
        sampling["stop"] = stop
    wishes = replace(question.wishes, sampling=sampling, held_to=_format(fields))
    return replace(question, wishes=wishes, stream=fields.flag("stream"))


def read_prompt(fields: Fields) -> Question:
    """Read what becomes the prompt. It is all that the body of /v1/messages/count_tokens has.

    Raises:
        Refusal: A field is missing or cannot be used.
        SchemaError: The schema of a tool is not one.
    """
    if not fields.text("model"):
        raise Refusal(400, "model is required")
    if not fields.items("messages"):
        raise Refusal(400, "messages is required")
    names: dict[str, str] = {}
    turns = [*_system(fields)]
    for message in fields.each("messages"):
        turns += _turns(message, names)
    tools = tuple(_tool(tool) for tool in fields.each("tools"))
    choice = _tool_choice(fields, tools)
    wishes = Wishes(think=_think(fields), tools=tools, tool_choice=choice, truncate=True)
    needs = ("completion", "tools") if tools and choice.mode != "none" else ("completion",)
    return Question(fields.text("model"), tuple(turns), wishes, stream=False, needs=needs)


def _within(fields: Fields, name: str, value: float, most: float) -> float:
    if not 0 <= value <= most:
        raise Refusal(400, f"`{fields.place(name)}` cannot be {value:g}: it must be between 0 and {most:g}")
    return value


# --- messages ---------------------------------------------------------------------------------------


def _system(fields: Fields) -> Iterator[Turn]:
    """Yield the system message, which is a text or a list of blocks."""
    given = fields.any("system")
    blocks = [] if isinstance(given, str) else [*fields.each("system")]
    for block in blocks:
        if block.text("type") != "text":
            raise Refusal(400, f"`{block.place('type')}` must be `text`: a system message has only text")
    text = given if isinstance(given, str) else "\n".join(block.text("text") for block in blocks)
    if text:
        yield Turn("system", (TextPart(text),))


def _turns(message: Fields, names: dict[str, str]) -> Iterator[Turn]:
    """Yield the turns of a message: each result of a tool is a turn of its own.

    Args:
        message: The message.
        names: The names of the tools that were called so far, by the ids of the calls. Calls of this message join.
    """
    role = message.text("role").lower()
    if role not in _ROLES:
        raise Refusal(400, f"`{message.place('role')}` must be one of {', '.join(_ROLES)}")
    content = message.any("content")
    if content is None:
        raise Refusal(400, f"`{message.place('content')}` is missing")
    if isinstance(content, str):
        yield Turn(cast(Role, role), (TextPart(content),))
        return
    parts: list[Said] = []
    for block in message.each("content"):
        if block.text("type") != "tool_result":
            parts += _said(block, names)
            continue
        if parts:
            yield Turn(cast(Role, role), tuple(parts))
            parts = []
        yield _result(block, names)
    if parts or not content:
        yield Turn(cast(Role, role), tuple(parts) or (TextPart(""),))


def _said(block: Fields, names: dict[str, str]) -> list[Said]:
    """Return what a block says; thoughts that only Anthropic can read say nothing."""
    kind = block.text("type")
    if kind == "text":
        return [TextPart(block.text("text"))]
    if kind == "image":
        return [_image(block)]
    if kind == "document":
        return [_document(block)]
    if kind == "thinking":
        return [ThinkingPart(block.text("thinking"))]
    if kind == "redacted_thinking":
        return []
    if kind == "tool_use":
        given = block.inner("input")
        names[block.text("id")] = block.text("name")
        arguments = orjson.dumps(given.values if given is not None else {}).decode()
        return [ToolCallPart(block.text("id"), block.text("name"), arguments)]
    raise Refusal(
        400,
        f"`{block.place('type')}` cannot be `{kind}`",
        hint="send blocks of the types text, image, document, thinking, tool_use and tool_result",
    )


def _image(block: Fields) -> EncodedImage:
    source = block.inner("source")
    kind = source.text("type") if source is not None else ""
    if source is not None and kind == "base64":
        return from_base64(source.text("data"), source.place("data"))
    if source is not None and kind == "url":
        return from_url(source.text("url"), source.place("url"))
    hint = f"send the image itself in `{block.place('source.data')}`"
    raise Refusal(400, f"invalid image source type: {kind}. Only base64 images are supported.", hint=hint)


def _document(block: Fields) -> TextPart:
    source = block.inner("source")
    kind = source.text("type") if source is not None else ""
    if source is None or kind != "text":
        raise Refusal(
            400,
            f"`{block.place('source.type')}` cannot be `{kind}`: only documents of plain text can be read",
            hint="send the pages as images, or their text",
        )
    return TextPart("\n".join(text for text in (block.text("title"), source.text("data")) if text))


def _result(block: Fields, names: dict[str, str]) -> Turn:
    """Read what a tool returned. Images that it returned are parts of the same turn."""
    call_id, content = block.text("tool_use_id"), block.any("content")
    said: list[Said] = [TextPart(content)] if isinstance(content, str) else []
    if not said:
        for inner in block.each("content"):
            if inner.text("type") not in ("text", "image", "document"):
                hint = "a tool returns blocks of the types text, image and document"
                raise Refusal(400, f"`{inner.place('type')}` cannot be `{inner.text('type')}`", hint=hint)
            said += _said(inner, names)
    text = "\n".join(part.text for part in said if isinstance(part, TextPart))
    if block.flag("is_error"):
        text = f"Error: {text}"
    images = [part for part in said if isinstance(part, EncodedImage)]
    return Turn("tool", (ToolResultPart(call_id, names.get(call_id, ""), text), *images))


# --- what is asked of the answer --------------------------------------------------------------------


def _tool(fields: Fields) -> Tool:
    name, kind = fields.text("name"), fields.text("type") or "custom"
    if kind != "custom":
        hint = "send tools of your own, with `input_schema`"
        raise Refusal(400, f"`{fields.place('type')}` cannot be `{kind}`: only Anthropic knows that tool", hint=hint)
    if not name:
        raise Refusal(400, f"`{fields.place('name')}` is missing")
    schema = fields.inner("input_schema")
    if schema is None:
        raise Refusal(400, f"`{fields.place('input_schema')}` is missing")
    text = orjson.dumps(schema.values).decode()
    check_schema(text)
    return Tool(name, fields.text("description"), text)


def _tool_choice(fields: Fields, tools: tuple[Tool, ...]) -> ToolChoice:
    choice = fields.inner("tool_choice")
    if choice is None:
        return ToolChoice()
    kind, parallel = choice.text("type"), not choice.flag("disable_parallel_tool_use")
    if kind == "auto":
        return ToolChoice(parallel=parallel)
    if kind == "none":
        return ToolChoice("none")
    if kind not in ("any", "tool"):
        raise Refusal(400, f"`{choice.place('type')}` cannot be `{kind}`: it must be auto, any, tool or none")
    if not tools:
        raise Refusal(400, f"`tool_choice` asks for a call, but there are no `{fields.place('tools')}`")
    if kind == "any":
        return ToolChoice("required", parallel=parallel)
    name = choice.text("name")
    if name not in [tool.name for tool in tools]:
        raise Refusal(400, f"`{choice.place('name')}` is `{name}`, but no tool has that name")
    return ToolChoice("required", name, parallel)


def _think(fields: Fields) -> Thinking | None:
    """Return whether the model thinks. A budget for it changes nothing: models know levels, but no numbers."""
    thinking, output = fields.inner("thinking"), fields.inner("output_config")
    kind = thinking.text("type") if thinking is not None else "adaptive"
    if kind not in _THINKING:
        raise Refusal(400, f"`thinking.type` cannot be `{kind}`: it must be one of {', '.join(_THINKING)}")
    effort = output.text("effort") if output is not None else ""
    if effort and effort not in _EFFORTS:
        raise Refusal(400, f"`output_config.effort` cannot be `{effort}`: it must be one of {', '.join(_EFFORTS)}")
    return _EFFORTS[effort] if effort and kind != "disabled" else _THINKING[kind]


def _format(fields: Fields) -> Guidance | None:
    """Return what the answer is held to. Clients of the time before `output_config` say it in `output_format`."""
    output = fields.inner("output_config")
    given = output.inner("format") if output is not None else None
    given = given or fields.inner("output_format")
    if given is None:
        return None
    schema = given.inner("schema")
    if given.text("type") != "json_schema" or schema is None:
        place = given.place("").removesuffix(".")
        raise Refusal(400, f"`{place}` must have the type `json_schema` and a `schema`")
    return holding_to(orjson.dumps(schema.values).decode())
