"""Anthropic's messages."""

from __future__ import annotations

from olpipe.server.openapi.operations import ANTHROPIC, body, content, operation
from olpipe.server.openapi.schemas import (
    ANY,
    COUNT,
    EVENT,
    FLAG,
    TEXT,
    about,
    always,
    answer,
    either,
    list_of,
    number,
    one_of,
    or_null,
    ref,
    request,
    whole,
)
from olpipe.server.wire.anthropic import MOST_TEMPERATURE, MOST_TOKENS

TAG = "Anthropic: messages"

ERROR = answer({"type": always("error"), "error": answer({"type": TEXT, "message": TEXT}), "request_id": TEXT})
_TEXT = request({"type": one_of("text")}, text=TEXT)
_IMAGE = request(
    {
        "type": one_of("image"),
        "source": either(
            request({"type": one_of("base64"), "data": TEXT}, media_type=ANY),
            request({"type": one_of("url"), "url": TEXT}),
        ),
    }
)
_DOCUMENT = request({"type": one_of("document"), "source": request({"type": one_of("text"), "data": TEXT})}, title=TEXT)
BLOCK = either(
    _TEXT,
    _IMAGE,
    _DOCUMENT,
    request({"type": one_of("thinking")}, thinking=TEXT, signature=ANY),
    request({"type": one_of("redacted_thinking")}, data=ANY),
    request({"type": one_of("tool_use")}, id=TEXT, name=TEXT, input={"type": "object"}),
    request(
        {"type": one_of("tool_result")},
        tool_use_id=TEXT,
        content=either(TEXT, list_of(either(_TEXT, _IMAGE, _DOCUMENT))),
        is_error=FLAG,
    ),
)
MESSAGE = request({"role": one_of("user", "assistant", "system"), "content": either(TEXT, list_of(ref("Block")))})
TOOL = request(
    {"name": {"type": "string", "minLength": 1}, "input_schema": {"type": "object"}},
    description=TEXT,
    type=one_of("", "custom"),
)
_EFFORT = one_of("", "low", "medium", "high", "xhigh", "max")
_FORMAT = request({"type": one_of("json_schema"), "schema": {"type": "object"}})
_CHOICE = either(
    request({"type": one_of("auto", "none", "any")}, disable_parallel_tool_use=FLAG),
    request({"type": one_of("tool"), "name": TEXT}, disable_parallel_tool_use=FLAG),
)
_PROMPT = {
    "system": either(TEXT, list_of(_TEXT)),
    "tools": list_of(ref("AnthropicTool")),
    "tool_choice": about(_CHOICE, "Whether the model may, must or must not call a tool."),
    "thinking": request({"type": one_of("enabled", "disabled", "adaptive", "between_tools")}, budget_tokens=ANY),
    "output_config": request({}, effort=_EFFORT, format=_FORMAT),
}
_ASKED = {"model": {"type": "string", "minLength": 1}, "messages": list_of(ref("AnthropicMessage"), least=1)}

MESSAGES = request(
    {**_ASKED, "max_tokens": whole(1)},
    **_PROMPT,
    stream=FLAG,
    stop_sequences=list_of(TEXT),
    temperature=number(0, MOST_TEMPERATURE),
    top_p=number(0, 1),
    top_k=whole(0, MOST_TOKENS),
    metadata=ANY,
)
_USAGE = answer(
    {
        "input_tokens": COUNT,
        "cache_creation_input_tokens": COUNT,
        "cache_read_input_tokens": COUNT,
        "output_tokens": COUNT,
        "output_tokens_details": answer({"thinking_tokens": COUNT}),
    },
    truncated=FLAG,
    truncated_messages=COUNT,
    truncated_tokens=COUNT,
)
ANSWER = answer(
    {
        "id": TEXT,
        "type": always("message"),
        "role": always("assistant"),
        "model": TEXT,
        "content": list_of(
            either(
                answer({"type": always("text"), "text": TEXT}),
                answer({"type": always("thinking"), "thinking": TEXT, "signature": TEXT}),
                answer({"type": always("tool_use"), "id": TEXT, "name": TEXT, "input": {"type": "object"}}),
            )
        ),
        "stop_reason": one_of("end_turn", "max_tokens", "tool_use", "stop_sequence", "pause_turn"),
        "stop_sequence": or_null(TEXT),
        "usage": _USAGE,
    }
)

PATHS = {
    "/v1/messages": {
        "post": operation(
            "messages", "Answer a conversation.",
            {200: content("The whole message; or a stream of its events.", json=ref("MessageAnswer"), events=EVENT)},
            tag=TAG, error=ANTHROPIC, requestBody=body(ref("MessagesRequest")),
        )
    },
    "/v1/messages/count_tokens": {
        "post": operation(
            "countTokens", "Count the tokens of a conversation.",
            {200: content("Their number.", json=answer({"input_tokens": COUNT}))},
            tag=TAG, error=ANTHROPIC, requestBody=body(request(_ASKED, **_PROMPT)),
        )
    },
}  # fmt: skip
SCHEMAS = {
    "AnthropicError": ERROR,
    "Block": BLOCK,
    "AnthropicMessage": MESSAGE,
    "AnthropicTool": TOOL,
    "MessagesRequest": MESSAGES,
    "MessageAnswer": ANSWER,
}
