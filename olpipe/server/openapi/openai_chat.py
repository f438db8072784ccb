"""OpenAI's chat completions."""

from __future__ import annotations

from olpipe.server.openapi import openai_shared as shared
from olpipe.server.openapi.operations import OPENAI, body, content, operation
from olpipe.server.openapi.schemas import (
    ANY,
    COUNT,
    EVENT,
    FLAG,
    NULL,
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

TAG = "OpenAI: chat completions"

_IMAGE = either(TEXT, request({"url": {"type": "string", "minLength": 1}}, detail=ANY))
PART = either(
    request({"type": one_of("text", "input_text", "output_text")}, text=TEXT),
    request({"type": one_of("refusal")}, refusal=TEXT),
    request({"type": one_of("image_url", "input_image"), "image_url": _IMAGE}),
)
CALL = request(
    {"function": request({"name": {"type": "string", "minLength": 1}}, arguments=either(TEXT, {"type": "object"}))},
    id=TEXT,
    type=ANY,
)
MESSAGE = request(
    {"content": either(TEXT, list_of(ref("Part")))},
    role=about(TEXT, "`system`, `developer`, `user`, `assistant` or `tool`. Any other role counts as `user`."),
    name=ANY,
    tool_calls=list_of(ref("Call")),
    tool_call_id=ANY,
    reasoning=TEXT,
)
_CALLING = request({"tool_calls": list_of(ref("Call"), least=1)}, role=TEXT, content=either(TEXT, list_of(ref("Part"))))
TOOL = request({"function": ref("Function")}, type=one_of("function"))
TOOL_CHOICE = about(
    either(one_of("auto", "none", "required"), {"type": "object"}),
    "Whether the model may, must or must not call; or which function it must call.",
)

CHAT = request(
    {
        "model": {"type": "string", "minLength": 1},
        "messages": list_of(either(ref("ChatMessage"), ref("CallingMessage")), least=1),
    },
    stream=shared.STREAM,
    stream_options=shared.STREAM_OPTIONS,
    **shared.SAMPLING,
    max_completion_tokens=shared.LIMIT,
    max_tokens=shared.LIMIT,
    n=shared.COUNT_OF_ANSWERS,
    response_format=ref("ResponseFormat"),
    tools=list_of(ref("ChatTool")),
    tool_choice=TOOL_CHOICE,
    parallel_tool_calls=FLAG,
    reasoning_effort=shared.EFFORT,
    reasoning=request({}, effort=shared.EFFORT),
    logprobs=FLAG,
    top_logprobs=shared.TOP_LOGPROBS,
    truncate=shared.TRUNCATE,
)

_CALLED = answer({"id": TEXT, "type": always("function"), "function": answer({"name": TEXT, "arguments": TEXT})})
_REASON = one_of("stop", "length", "tool_calls")
_HEAD = {"id": TEXT, "created": COUNT, "model": TEXT, "system_fingerprint": TEXT}

COMPLETION = answer(
    {
        **_HEAD,
        "object": always("chat.completion"),
        "choices": list_of(
            answer(
                {
                    "index": COUNT,
                    "message": answer(
                        {"role": always("assistant"), "content": or_null(TEXT), "refusal": NULL},
                        reasoning=TEXT,
                        tool_calls=list_of(_CALLED),
                    ),
                    "logprobs": shared.LIKELIHOODS,
                    "finish_reason": _REASON,
                }
            )
        ),
        "usage": ref("Usage"),
    },
    **shared.CUT,
)
CHUNK = answer(
    {
        **_HEAD,
        "object": always("chat.completion.chunk"),
        "choices": list_of(
            answer(
                {
                    "index": COUNT,
                    "delta": answer(
                        {},
                        role=always("assistant"),
                        content=TEXT,
                        reasoning=TEXT,
                        tool_calls=list_of(answer({"index": COUNT, **_CALLED["properties"]})),
                    ),
                    "logprobs": shared.LIKELIHOODS,
                    "finish_reason": or_null(_REASON),
                }
            )
        ),
    },
    usage=or_null(ref("Usage")),
    **shared.CUT,
)

_ANSWER = (
    "The whole answer; or a stream of events, whose data is a `ChatCompletionChunk` each, and `[DONE]` at its end."
)

PATHS = {
    "/v1/chat/completions": {
        "post": operation(
            "chatCompletions", "Answer a conversation.",
            {200: content(_ANSWER, json=ref("ChatCompletion"), events=EVENT)},
            tag=TAG, error=OPENAI, requestBody=body(ref("ChatCompletionRequest")),
        )
    }
}  # fmt: skip
SCHEMAS = {
    "Part": PART,
    "Call": CALL,
    "ChatMessage": MESSAGE,
    "CallingMessage": _CALLING,
    "ChatTool": TOOL,
    "ChatCompletionRequest": CHAT,
    "ChatCompletion": COMPLETION,
    "ChatCompletionChunk": CHUNK,
}
