"""Schemas that several resources of Ollama's API share."""

from __future__ import annotations

from olpipe.asking.options import LOADING, MOST, SAMPLING, WITHOUT_EFFECT, Option
from olpipe.generation import MOST_TOP_LOGPROBS
from olpipe.server.openapi.schemas import (
    ANY,
    COUNT,
    FLAG,
    NANOSECONDS,
    NUMBER,
    TEXT,
    Schema,
    about,
    answer,
    either,
    list_of,
    number,
    one_of,
    ref,
    request,
    whole,
)

_PART = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}"
_NAMESPACE = "[A-Za-z0-9_][A-Za-z0-9_-]{0,79}"
_HOST = "[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}"
NAME: Schema = {"type": "string", "pattern": f"^(({_HOST}/)?{_NAMESPACE}/)?{_PART}(:{_PART})?$"}
"""The name of a model: `model`, `namespace/model` or `host/namespace/model`, with `:tag` or without."""

MODEL = about(NAME, "The name of a model on this machine.")
STREAM = about(FLAG, "Whether the answer comes as it is written. The default is true.")
IMAGES = about(list_of(TEXT), "Images as base64 or data URLs, or URLs where OLPIPE_IMAGE_URLS allows their host.")
TOP_LOGPROBS = about(whole(0, MOST_TOP_LOGPROBS), "How many of the likeliest tokens to report beside each token.")
LOGPROBS = about(FLAG, "Whether to report how likely each token was.")
TRUNCATE = about(FLAG, "Whether a prompt that is too long is cut. If not, it is an error. The default is true.")

ERROR = answer({"error": TEXT}, hint=about(TEXT, "What to do next."))
_DURATION = r"^[+-]?(0|(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$"
KEEP_ALIVE = about(
    either(NUMBER, {"type": "string", "pattern": _DURATION}),
    "How long the model stays loaded: seconds, or a duration like `10m`; below 0 means for ever.",
)
THINK = about(either(FLAG, one_of("low", "medium", "high", "max", "true", "false")), "Whether the model thinks first.")
FORMAT = about(
    either(one_of("", "json"), {"type": "object"}),
    'What the answer is held to: `"json"`, a JSON Schema, `{"type": "regex", "pattern": …}` or'
    ' `{"type": "lark", "grammar": …}`. A schema that cannot be enforced is an error.',
)

TOOL = request(
    {
        "function": request(
            {"name": {"type": "string", "minLength": 1}},
            description=TEXT,
            parameters=about({"type": "object"}, "A JSON Schema of the arguments."),
        )
    },
    type=about(ANY, "Always `function`."),
)
TOOL_CALL = request({"function": request({}, name=TEXT, arguments={"type": "object"})}, id=TEXT)
MESSAGE = request(
    {},
    role=about(TEXT, "`system`, `user`, `assistant` or `tool`. Any other role counts as `user`."),
    content=TEXT,
    thinking=TEXT,
    images=IMAGES,
    tool_calls=list_of(ref("ToolCall")),
    tool_name=TEXT,
    tool_call_id=TEXT,
)

_TOKEN = {"token": TEXT, "logprob": number(most=0), "bytes": list_of(whole(0, 255))}
LIKELIHOOD = answer(_TOKEN, top_logprobs=list_of(answer(_TOKEN)))
TOOL_CALL_MADE = answer(
    {"id": TEXT, "function": answer({"index": COUNT, "name": TEXT, "arguments": {"type": "object"}})}
)
METRICS: dict[str, Schema] = {
    "total_duration": NANOSECONDS,
    "load_duration": NANOSECONDS,
    "prompt_eval_count": about(COUNT, "Tokens of the prompt."),
    "prompt_eval_cached_count": about(COUNT, "Those of them that an earlier request had prepared."),
    "prompt_eval_duration": NANOSECONDS,
    "eval_count": about(COUNT, "Tokens of the answer."),
    "eval_duration": NANOSECONDS,
    "queue_duration": about(NANOSECONDS, "How long the request waited for others."),
    "eval_forced_count": about(COUNT, "Those tokens of the answer that the format left no choice about."),
    "spliced_count": about(COUNT, "Tokens of known values that were put into the answer."),
    "images": about(
        list_of(answer({"width": COUNT, "height": COUNT, "tokens": COUNT})),
        "In how many pixels the model saw each image, and how many tokens of the prompt stand for it.",
    ),
    "fit_duration": about(NANOSECONDS, "How long resizing the images took."),
    "encode_duration": about(NANOSECONDS, "How long the vision encoder took."),
    "truncated": about(FLAG, "True where the prompt was too long and was cut."),
    "truncated_messages": about(COUNT, "How many messages were left out."),
    "truncated_tokens": about(COUNT, "How many tokens were left out."),
}


def _option(option: Option) -> Schema:
    bounds = {"minimum": option.least, "maximum": option.most}
    kind = "integer" if option.kind is int else "number"
    return {"type": kind, **bounds, "description": f"`{option.name}` of olpipe."}


OPTIONS = request(
    {},
    **{name: _option(option) for name, option in {**SAMPLING, **LOADING}.items()},
    stop=about(either(TEXT, list_of(TEXT)), "Texts that end the answer."),
    **{name: about(ANY, "Taken, and without effect.") for name in sorted(WITHOUT_EFFECT)},
)
BESIDE = {
    "temperature": _option(SAMPLING["temperature"]),
    "top_p": _option(SAMPLING["top_p"]),
    "max_output_tokens": whole(-2, MOST),
}


def named(required: dict[str, Schema], **optional: Schema) -> Schema:
    """Return the schema of a request with a model, which older clients call `name`."""
    old = about(NAME, "The same as `model`, as older clients call it.")
    schema = request(required, model=MODEL, name=old, **optional)
    return {**schema, "anyOf": [{"required": [name], "properties": {name: NAME}} for name in ("model", "name")]}


SCHEMAS = {
    "Error": ERROR,
    "Options": OPTIONS,
    "KeepAlive": KEEP_ALIVE,
    "Format": FORMAT,
    "Tool": TOOL,
    "ToolCall": TOOL_CALL,
    "Message": MESSAGE,
    "Likelihood": LIKELIHOOD,
    "ToolCallMade": TOOL_CALL_MADE,
}
