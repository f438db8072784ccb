"""OpenAI's responses. Nothing is stored, so a request holds the whole conversation."""

from __future__ import annotations

from olpipe.server.openapi import openai_shared as shared
from olpipe.server.openapi.operations import OPENAI, body, content, operation
from olpipe.server.openapi.schemas import (
    ANY,
    COUNT,
    EVENT,
    FLAG,
    NUMBER,
    TEXT,
    about,
    always,
    answer,
    either,
    list_of,
    one_of,
    or_null,
    ref,
    request,
)

TAG = "OpenAI: responses"

_SAID = either(TEXT, list_of(ref("Part")))
ITEM = either(
    request({"role": TEXT, "content": _SAID}, type=one_of("message")),
    request(
        {"type": one_of("function_call"), "name": {"type": "string", "minLength": 1}},
        call_id=TEXT,
        namespace=TEXT,
        arguments=either(TEXT, {"type": "object"}),
    ),
    request({"type": one_of("function_call_output"), "output": _SAID}, call_id=TEXT, name=TEXT),
    request(
        {"type": one_of("reasoning")}, content=list_of(request({}, text=TEXT)), summary=list_of(request({}, text=TEXT))
    ),
)
FORMAT = about(
    either(
        request({"type": one_of("text", "json_object")}),
        request({"type": one_of("json_schema"), "schema": {"type": "object"}}, name=ANY, strict=ANY),
        request({"type": one_of("regex"), "pattern": TEXT}),
        request({"type": one_of("lark"), "grammar": TEXT}),
    ),
    "What the answer is held to.",
)

RESPONSE_REQUEST = request(
    {"model": {"type": "string", "minLength": 1}, "input": either(TEXT, list_of(ref("Item"), least=1))},
    instructions=TEXT,
    stream=shared.STREAM,
    max_output_tokens=shared.LIMIT,
    temperature=shared.SAMPLING["temperature"],
    top_p=shared.SAMPLING["top_p"],
    text=request({}, format=ref("TextFormat")),
    tools=list_of(
        either(ref("FlatTool"), request({"type": one_of("namespace"), "name": TEXT, "tools": list_of(ref("FlatTool"))}))
    ),
    tool_choice=either(one_of("auto", "none", "required"), {"type": "object"}),
    parallel_tool_calls=FLAG,
    reasoning=request({}, effort=shared.EFFORT),
    truncation=one_of("auto", "disabled"),
    top_logprobs=shared.TOP_LOGPROBS,
    include=list_of(TEXT),
    metadata={"type": "object"},
)
FLAT_TOOL = request(
    {"type": one_of("function"), "name": {"type": "string", "minLength": 1}},
    description=TEXT,
    parameters={"type": "object"},
    strict=ANY,
)

_STATUS = one_of("in_progress", "completed", "incomplete")
OUTPUT = either(
    answer(
        {
            "id": TEXT,
            "type": always("message"),
            "status": _STATUS,
            "role": always("assistant"),
            "content": list_of(
                answer(
                    {
                        "type": always("output_text"),
                        "text": TEXT,
                        "annotations": list_of(ANY),
                        "logprobs": list_of(ref("OpenAILikelihood")),
                    }
                )
            ),
        }
    ),
    answer(
        {
            "id": TEXT,
            "type": always("reasoning"),
            "status": _STATUS,
            "summary": list_of(answer({"type": always("summary_text"), "text": TEXT})),
        }
    ),
    answer(
        {
            "id": TEXT,
            "type": always("function_call"),
            "status": _STATUS,
            "call_id": TEXT,
            "name": TEXT,
            "arguments": TEXT,
        },
        namespace=TEXT,
    ),
)
_USAGE = answer(
    {
        "input_tokens": COUNT,
        "input_tokens_details": answer({"cached_tokens": COUNT}),
        "output_tokens": COUNT,
        "output_tokens_details": answer({"reasoning_tokens": COUNT}),
        "total_tokens": COUNT,
    }
)
RESPONSE = answer(
    {
        "id": TEXT,
        "object": always("response"),
        "created_at": COUNT,
        "completed_at": or_null(COUNT),
        "status": one_of("in_progress", "completed", "incomplete", "failed"),
        "incomplete_details": or_null(answer({"reason": always("max_output_tokens")})),
        "error": or_null(answer({"code": TEXT, "message": TEXT})),
        "model": TEXT,
        "output": list_of(ref("OutputItem")),
        "usage": or_null(_USAGE),
        "temperature": NUMBER,
        "top_p": NUMBER,
        "tools": list_of({"type": "object"}),
        "store": {"const": False},
        "truncation": one_of("auto", "disabled"),
    },
    **shared.CUT,
)

_ANSWER = "The whole response; or a stream of its events, the last of which holds it."

PATHS = {
    "/v1/responses": {
        "post": operation(
            "responses", "Answer a conversation.", {200: content(_ANSWER, json=ref("Response"), events=EVENT)},
            tag=TAG, error=OPENAI, requestBody=body(ref("ResponseRequest")),
        )
    }
}  # fmt: skip
SCHEMAS = {
    "Item": ITEM,
    "TextFormat": FORMAT,
    "FlatTool": FLAT_TOOL,
    "ResponseRequest": RESPONSE_REQUEST,
    "OutputItem": OUTPUT,
    "Response": RESPONSE,
}
