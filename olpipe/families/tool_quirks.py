"""Give tools and tool calls to chat templates that want them in a way of their own.

Phi-4-mini's template expects tools as a part of the system message, and it knows no tool calls. It writes what the
message has under `tools`, and of an answer the text alone. So the calls are put into the text as the model writes them.
Source: https://huggingface.co/microsoft/Phi-4-mini-instruct

Mistral's older templates take only ids of nine characters for calls. So ids are made shorter, in the same way for a
call and for its result.
Source: https://huggingface.co/mistralai/Mistral-Nemo-Instruct-2407
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from olpipe.decoding.reading import CallFormat
from olpipe.families.turns import Turn

_ID_LENGTH = 9
_WANTS_SHORT_IDS = re.compile(rf"\bid\s*\|\s*length\s*!=\s*{_ID_LENGTH}\b")
_TOOLS_IN_SYSTEM = re.compile(r"""\bmessage(?:\.tools\b|\[["']tools["']\])""")

SYSTEM = "You are a helpful assistant with some tools."
"""The system message of a conversation that has tools, but no system message."""


def takes_tools_in_system(template: str) -> bool:
    """Say whether a template expects the tools as a part of the system message, as JSON."""
    return "<|tool|>" in template and _TOOLS_IN_SYSTEM.search(template) is not None


def wants_short_ids(template: str) -> bool:
    """Say whether a template refuses ids of calls that do not have nine characters."""
    return _WANTS_SHORT_IDS.search(template) is not None


def with_short_ids(turns: Sequence[Turn]) -> list[Turn]:
    """Return a conversation whose calls and results have ids of nine letters and digits."""
    return [_with_short_ids(turn) for turn in turns]


def with_tools(turns: Sequence[Turn], tools: Sequence[Mapping[str, Any]], own: CallFormat) -> list[Turn]:
    """Return a conversation with tools in its system message, and with its tool calls in the texts of its answers.

    Args:
        turns: The conversation, as `turns_of` makes it.
        tools: The tools, as `described` makes them.
        own: How the model writes tool calls.
    """
    shown = [turn if "tool_calls" not in turn else _with_calls(turn, own) for turn in turns]
    if not tools:
        return shown
    if not shown or shown[0]["role"] != "system":
        shown.insert(0, {"role": "system", "content": SYSTEM})
    functions = json.dumps([tool["function"] for tool in tools], ensure_ascii=False)
    return [shown[0] | {"tools": functions}, *shown[1:]]


def _with_calls(turn: Turn, own: CallFormat) -> Turn:
    functions = [call["function"] for call in turn["tool_calls"]]
    calls = [{own.name_key: one["name"], own.arguments_key: one["arguments"]} for one in functions]
    written = own.between.join(json.dumps(call, ensure_ascii=False) for call in calls)
    return turn | {"content": f"{turn['content']}{own.begin}{own.before}{written}{own.after}{own.end}"}


def _with_short_ids(turn: Turn) -> Turn:
    shortened = dict(turn)
    if "tool_calls" in turn:
        shortened["tool_calls"] = [call | {"id": _short(call["id"])} for call in turn["tool_calls"]]
    if "tool_call_id" in turn:
        shortened["tool_call_id"] = _short(turn["tool_call_id"])
    return shortened


def _short(call_id: str) -> str:
    """Return the last letters and digits of an id."""
    return "".join(filter(str.isalnum, call_id))[-_ID_LENGTH:].rjust(_ID_LENGTH, "0")
