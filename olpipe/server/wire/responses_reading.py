"""OpenAI's responses: questions from bodies. Nothing is stored, so a request holds the whole conversation.

Source: https://platform.openai.com/docs/api-reference/responses/create
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from olpipe.asking.wishes import Wishes
from olpipe.server.bodies.fields import Fields
from olpipe.server.question import Question
from olpipe.server.refusal import Refusal
from olpipe.server.wire import openai_options as options
from olpipe.server.wire.openai_answers import Body
from olpipe.server.wire.openai_chat import read_model
from olpipe.server.wire.openai_tools import qualified, read_tools
from olpipe.server.wire.responses_input import read_input

_STATELESS = "nothing is stored here: send the whole conversation in `input`"
_UNSUPPORTED = {
    "previous_response_id": _STATELESS,
    "conversation": _STATELESS,
    "prompt": "prompts are not stored here: send the text in `instructions` and `input`",
    "background": "leave it out, and wait for the answer",
}
_LOGPROBS = "message.output_text.logprobs"
_TRUNCATIONS = ("auto", "disabled")
_ECHOED = ("instructions", "max_output_tokens", "max_tool_calls", "prompt_cache_key", "safety_identifier", "user")
# What OpenAI's own service tells about a response, and nobody else
_NEVER = (
    "access_programs", "conversation", "image", "input_transformations", "moderation", "previous_response_id", "prompt",
    "prompt_cache_diagnostics", "prompt_cache_options", "prompt_cache_retention", "tool_usage",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ResponseRequest:
    """The body of /v1/responses.

    Attributes:
        questions: The question.
        stream: Whether the answer is sent as it is written.
        echoed: The fields of a response that repeat what was asked.
        namespaces: The namespace and the name of each function of a namespace, by the name that the model knows.
    """

    questions: tuple[Question, ...]
    stream: bool
    echoed: Body
    namespaces: Mapping[str, tuple[str, str]]


def read_responses(fields: Fields) -> ResponseRequest:
    """Read the body of /v1/responses.

    Raises:
        Refusal: A field cannot be used.
        SchemaError: No answer can be held to the format, or no arguments to the schema of a tool.
    """
    model = read_model(fields)
    for name, hint in _UNSUPPORTED.items():
        if fields.any(name):
            raise Refusal(400, f"`{name}` is not supported", hint=hint)
    truncation = fields.text("truncation", "disabled")
    if truncation not in _TRUNCATIONS:
        raise Refusal(400, f"`truncation` cannot be `{truncation}`: it must be `auto` or `disabled`")
    tools = read_tools(fields)
    reasoning, text = fields.inner("reasoning"), fields.inner("text")
    think = options.read_effort("" if reasoning is None else reasoning.text("effort"))
    logprobs = "top_logprobs" in fields or _LOGPROBS in fields.items("include")
    wishes = Wishes(
        held_to=options.read_held_to(None if text is None else text.inner("format")),
        sampling=options.read_sampling(fields, "max_output_tokens"),
        usual=options.USUAL_SAMPLING,
        think=think,
        tools=tools.each,
        tool_choice=tools.choice,
        top_logprobs=options.read_top_logprobs(fields, wanted=logprobs),
        truncate=truncation == "auto",
    )
    stream = fields.flag("stream")
    question = Question(model, read_input(fields), wishes, stream=stream, needs=tools.needs(think))
    return ResponseRequest((question,), stream, _echoed(fields, truncation), _namespaces(fields))


def _echoed(fields: Fields, truncation: str) -> Body:
    reasoning, text, metadata = fields.inner("reasoning"), fields.inner("text"), fields.inner("metadata")
    return {
        **dict.fromkeys(_NEVER),
        **{name: fields.any(name) for name in _ECHOED},
        "background": False,
        "metadata": {} if metadata is None else metadata.values,
        "parallel_tool_calls": fields.flag("parallel_tool_calls", default=True),
        "reasoning": {"effort": None, "summary": None, **({} if reasoning is None else reasoning.values)},
        "service_tier": "default",
        "store": False,
        "text": {"format": {"type": "text"}, **({} if text is None else text.values)},
        "tool_choice": fields.any("tool_choice") or "auto",
        "tools": [_tool(tool) for tool in fields.each("tools")],
        "top_logprobs": fields.whole("top_logprobs") or 0,
        "truncation": truncation,
    }


def _tool(tool: Fields) -> Body:
    if tool.text("type") == "namespace":
        return {"description": "", **tool.values}
    return {"type": "function", "description": None, "parameters": None, "strict": None, **tool.values}


def _namespaces(fields: Fields) -> dict[str, tuple[str, str]]:
    spaces = [tool for tool in fields.each("tools") if tool.text("type") == "namespace"]
    pairs = [(space.text("name"), tool.text("name")) for space in spaces for tool in space.each("tools")]
    return {qualified(space, name): (space, name) for space, name in pairs}
