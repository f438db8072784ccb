"""Schemas that several resources of OpenAI's API share."""

from __future__ import annotations

from olpipe.generation import MOST_TOP_LOGPROBS
from olpipe.server.openapi.schemas import (
    ANY,
    COUNT,
    FLAG,
    NULL,
    TEXT,
    Schema,
    about,
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
from olpipe.server.wire.openai_options import MOST_ANSWERS

ERROR = answer({"error": answer({"message": TEXT, "type": TEXT, "param": NULL, "code": or_null(TEXT)})})

SAMPLING: dict[str, Schema] = {
    "temperature": about(number(0, 100), "0 picks the most probable token. The default is 1."),
    "top_p": number(0, 1),
    "frequency_penalty": number(-100, 100),
    "presence_penalty": number(-100, 100),
    "stop": about(either(TEXT, list_of(TEXT)), "Texts that end the answer."),
    "seed": about({"type": "integer"}, "Makes an answer repeatable."),
    "logit_bias": {
        "type": "object",
        "patternProperties": {"^[0-9]{1,9}$": number(-100, 100)},
        "additionalProperties": False,
        "description": "What to add to the logits of tokens, by their ids.",
    },
}
LIMIT = about(either(whole(1), {"const": -1}), "Most tokens of the answer; -1 means no limit.")
COUNT_OF_ANSWERS = about(whole(1, MOST_ANSWERS), "How many answers there are.")
TOP_LOGPROBS = whole(0, MOST_TOP_LOGPROBS)
STREAM = about(FLAG, "Whether the answer comes as it is written.")
STREAM_OPTIONS = request({}, include_usage=FLAG)
EFFORT = one_of("", "none", "minimal", "low", "medium", "high", "xhigh", "ultra", "max")
TRUNCATE = about(FLAG, "Whether a prompt that is too long is cut. If not, it is an error. The default is true.")

_SCHEMA = request({"schema": {"type": "object"}}, name=ANY, strict=ANY, description=ANY)
RESPONSE_FORMAT = about(
    either(
        request({"type": one_of("text", "json_object")}),
        request({"type": one_of("json_schema"), "json_schema": _SCHEMA}),
        request({"type": one_of("regex"), "pattern": TEXT}),
        request({"type": one_of("lark"), "grammar": TEXT}),
    ),
    "What the answer is held to. A schema that cannot be enforced is an error.",
)

FUNCTION = request(
    {"name": {"type": "string", "minLength": 1}},
    description=TEXT,
    parameters=about({"type": "object"}, "A JSON Schema of the arguments."),
    strict=ANY,
)

_TOKEN = {"token": TEXT, "logprob": number(most=0), "bytes": list_of(whole(0, 255))}
LIKELIHOOD = answer({**_TOKEN, "top_logprobs": list_of(answer(_TOKEN))})
USAGE = answer(
    {
        "prompt_tokens": COUNT,
        "completion_tokens": COUNT,
        "total_tokens": COUNT,
        "completion_tokens_details": answer({"reasoning_tokens": COUNT}),
        "prompt_tokens_details": answer({"cached_tokens": COUNT}),
    }
)
CUT: dict[str, Schema] = {
    "truncated": about(FLAG, "True where the prompt was too long and was cut."),
    "truncated_messages": COUNT,
    "truncated_tokens": COUNT,
}

SCHEMAS = {
    "OpenAIError": ERROR,
    "ResponseFormat": RESPONSE_FORMAT,
    "Function": FUNCTION,
    "OpenAILikelihood": LIKELIHOOD,
    "Usage": USAGE,
}
"""Schemas by their names in the document."""

LIKELIHOODS = or_null(answer({"content": list_of(ref("OpenAILikelihood")), "refusal": NULL}))
