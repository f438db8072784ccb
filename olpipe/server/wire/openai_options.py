"""OpenAI's fields about how an answer is written: sampling, its limit, its format, thinking.

Source: https://github.com/ollama/ollama/blob/main/openai/openai.go
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from olpipe.asking.options import MOST
from olpipe.asking.wishes import SERVED, holding_to
from olpipe.generation import MOST_TOP_LOGPROBS, Guidance, Thinking
from olpipe.server.bodies.fields import Fields
from olpipe.server.question import Question
from olpipe.server.refusal import Refusal
from olpipe.server.wire.ollama import read_format
from olpipe.server.wire.ollama_options import read_options

USUAL_SAMPLING = replace(SERVED, temperature=1.0, top_p=1.0)
"""How tokens are picked unless the model or the request says otherwise: as OpenAI's API does it."""

MOST_ANSWERS = 128
"""The most answers to one prompt."""

_SAME_NAMES = ("temperature", "top_p", "frequency_penalty", "presence_penalty", "stop")
_MOST_BIAS = 100
_SEEDS = 1 << 64
_EFFORTS: dict[str, Thinking] = {
    "none": "off",
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "max",
    "ultra": "max",
    "max": "max",
}


def read_sampling(fields: Fields, *limits: str) -> dict[str, Any]:
    """Return how tokens are picked, by the fields of `SamplingParams`; only what the request says.

    Args:
        fields: The body.
        *limits: The fields that limit the answer's length. The first that is given counts.

    Raises:
        Refusal: A value is of the wrong type, or out of its range.
    """
    sampling = dict(read_options(Fields({name: fields.any(name) for name in _SAME_NAMES})).sampling)
    for name in limits:
        if name in fields:
            sampling["max_tokens"] = _limit(fields, name)
            break
    if (seed := fields.whole("seed")) is not None:
        sampling["seed"] = seed % _SEEDS
    if biases := _biases(fields):
        sampling["logit_bias"] = biases
    return sampling


def copies(question: Question, count: int) -> tuple[Question, ...]:
    """Return a question once for each of its answers. Where a seed is given, each answer has one of its own."""
    seed = question.wishes.sampling.get("seed")
    if seed is None or count == 1:
        return (question,) * count
    samplings = ({**question.wishes.sampling, "seed": (seed + at) % _SEEDS} for at in range(count))
    return tuple(replace(question, wishes=replace(question.wishes, sampling=sampling)) for sampling in samplings)


def read_count(fields: Fields, name: str = "n") -> int:
    """Return how many answers are asked for.

    Raises:
        Refusal: It is not a number, or out of its range.
    """
    count = fields.whole(name)
    if count is None:
        return 1
    if not 1 <= count <= MOST_ANSWERS:
        raise Refusal(400, f"`{name}` cannot be {count}: it must be between 1 and {MOST_ANSWERS}")
    return count


def read_top_logprobs(fields: Fields, *, wanted: bool) -> int | None:
    """Return how many of the likeliest tokens to report beside each token; None where nothing is to be reported.

    Raises:
        Refusal: The number is out of its range.
    """
    top = fields.whole("top_logprobs") or 0
    if not 0 <= top <= MOST_TOP_LOGPROBS:
        raise Refusal(400, f"top_logprobs must be between 0 and {MOST_TOP_LOGPROBS}")
    return top if wanted else None


def read_effort(effort: str) -> Thinking | None:
    """Return how long the model thinks; None where the request does not say.

    Raises:
        Refusal: It is not an effort.
    """
    if not effort:
        return None
    if effort not in _EFFORTS:
        known = ", ".join(f'"{name}"' for name in _EFFORTS)
        raise Refusal(400, f'invalid reasoning value: "{effort}" (must be one of {known})')
    return _EFFORTS[effort]


def read_held_to(format_: Fields | None, *, schema_in: str = "") -> Guidance | None:
    """Return what an answer is held to: JSON, a JSON Schema, a regular expression, or a Lark grammar.

    Args:
        format_: `response_format`, or `text.format` of a response.
        schema_in: The object that holds `schema`; empty where `schema` stands in the format itself.

    Raises:
        Refusal: The format is of another kind.
        SchemaError: No answer can be held to it.
    """
    kind = "text" if format_ is None else format_.text("type").strip().lower()
    if format_ is None or kind == "text":
        return None
    if kind == "json_object":
        return holding_to("json")
    if kind == "json_schema":
        holder = format_.inner(schema_in) if schema_in else format_
        schema = None if holder is None else holder.inner("schema")
        if schema is None:
            place = format_.place(f"{schema_in}.schema" if schema_in else "schema")
            raise Refusal(400, f"`{place}` is missing", hint="it holds the JSON Schema of the answer")
        return holding_to(orjson.dumps(schema.values).decode())
    if kind in ("regex", "lark"):
        return read_format(format_.values)
    known = "`text`, `json_object`, `json_schema`, `regex` or `lark`"
    raise Refusal(400, f"`{format_.place('type')}` cannot be `{kind}`: it must be {known}")


def _limit(fields: Fields, name: str) -> int:
    limit = fields.whole(name)
    if limit == -1:  # some clients mean no limit by it, as Ollama does
        return MOST
    if limit is None or limit < 1:
        raise Refusal(400, f"`{name}` cannot be {limit}: it must be at least 1", hint="leave it out, or send more")
    return min(limit, MOST)


def _biases(fields: Fields) -> tuple[tuple[int, float], ...]:
    given = fields.inner("logit_bias")
    found = []
    for token, bias in (given.values if given is not None else {}).items():
        place = fields.place(f"logit_bias.{token}")
        if not token.isdecimal() or int(token) > MOST:
            raise Refusal(400, f"`{place}` does not name a token: the keys of `logit_bias` are the ids of tokens")
        if isinstance(bias, bool) or not isinstance(bias, int | float) or not -_MOST_BIAS <= bias <= _MOST_BIAS:
            raise Refusal(400, f"`{place}` must be a number between {-_MOST_BIAS} and {_MOST_BIAS}")
        found.append((int(token), float(bias)))
    return tuple(found)
