"""Ollama's routes that ask a model: generate and chat."""

from __future__ import annotations

from olpipe.server.openapi import native
from olpipe.server.openapi.operations import body, content, operation
from olpipe.server.openapi.schemas import ANY, FLAG, TEXT, TIME, about, answer, list_of, one_of, ref, request

TAG = "Answers"

_ASKED = {
    "stream": native.STREAM,
    "format": ref("Format"),
    "options": ref("Options"),
    "keep_alive": ref("KeepAlive"),
    "think": native.THINK,
    "truncate": native.TRUNCATE,
    "perceivers": about(
        list_of(TEXT), "What tells the model about the photos. By default, those that the model names do."
    ),
    "opening": about(
        FLAG, "Whether the turns with which the model opens a conversation come first. The default is true."
    ),
    "logprobs": native.LOGPROBS,
    "top_logprobs": native.TOP_LOGPROBS,
    **native.BESIDE,
}
_END = {
    "done_reason": one_of("stop", "length", "load", "unload", "cancelled"),
    "logprobs": list_of(ref("Likelihood")),
    **native.METRICS,
    "format": about(
        {"type": "object"}, "The schema that the answer was held to, where it is not the one of the request."
    ),
    "left_out": about(list_of(TEXT), "What of the request's schema is missing there, because the model says no boxes."),
}

GENERATE = request(
    {"model": native.MODEL},
    prompt=about(
        TEXT, "What is asked. Without a prompt, the model is only loaded; with `keep_alive` 0, it is unloaded."
    ),
    suffix=about(TEXT, "Text that comes after the answer."),
    system=TEXT,
    template=about(TEXT, "A chat template, in Jinja or in Go's language, in place of the model's own."),
    raw=about(FLAG, "Whether the prompt goes to the model as it is, without a chat template."),
    images=native.IMAGES,
    context=about(ANY, "Taken, and without effect."),
    **_ASKED,
)
CHAT = request(
    {"model": {"type": "string", "minLength": 1}},
    messages=about(
        list_of(ref("Message")), "The conversation. Without messages, the model is only loaded, as in /api/generate."
    ),
    tools=list_of(ref("Tool")),
    **_ASKED,
)
GENERATED = answer(
    {"model": TEXT, "created_at": TIME, "response": TEXT, "done": FLAG},
    thinking=TEXT,
    tool_calls=list_of(ref("ToolCallMade")),
    **_END,
)
CHATTED = answer(
    {
        "model": TEXT,
        "created_at": TIME,
        "message": answer(
            {"role": one_of("assistant"), "content": TEXT}, thinking=TEXT, tool_calls=list_of(ref("ToolCallMade"))
        ),
        "done": FLAG,
    },
    **_END,
)

_STREAM = "The whole answer; or a stream of lines, the last of which has `done: true`, or `error`."

PATHS = {
    "/api/generate": {
        "post": operation(
            "generate", "Complete a prompt.", {200: content(_STREAM, json=ref("Generated"), ndjson=ref("Generated"))},
            tag=TAG, requestBody=body(ref("Generate")),
        )
    },
    "/api/chat": {
        "post": operation(
            "chat", "Answer a conversation.", {200: content(_STREAM, json=ref("Chatted"), ndjson=ref("Chatted"))},
            tag=TAG, requestBody=body(ref("Chat")),
        )
    },
}  # fmt: skip
SCHEMAS = {"Generate": GENERATE, "Chat": CHAT, "Generated": GENERATED, "Chatted": CHATTED}
