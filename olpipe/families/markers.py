"""Find out from a chat template how a model marks thinking and tool calls.

Sources: the chat templates of Qwen 2.5 and 3, Hermes, Mistral Nemo and Small, Ministral 3, Llama 3.1 to 3.3,
Phi-4-mini, Granite 3.3 and 4, Nemotron Nano, Apriel, LFM2, Seed-OSS and Gemma 4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from olpipe.decoding.reading import CallFormat, Markers, ThinkingFormat
from olpipe.families.tool_quirks import takes_tools_in_system

_THINKING = (
    ThinkingFormat("<think>", "</think>", after_begin="\n", after_end="\n\n"),
    ThinkingFormat("[THINK]", "[/THINK]"),
    ThinkingFormat("<|channel>thought", "<channel|>", after_begin="\n"),
    ThinkingFormat("<seed:think>", "</seed:think>"),
)

# Markers with JSON between them: one call, or a list of calls. A template may speak of the last pair and write the one
# before it, so the order counts.
_AROUND_JSON = (
    ("<|tool_call|>", "<|/tool_call|>"),
    ("<|tool_call_start|>", "<|tool_call_end|>"),
    ("<TOOLCALL>", "</TOOLCALL>"),
    ("<tool_calls>", "</tool_calls>"),
    ("<tool_call>", "</tool_call>"),
)
# How a template writes a call as JSON. Some models write calls as XML or as Python between the same markers, which is
# not read.
_CALLS_ARE_JSON = re.compile(r'\barguments\\?["\']: ')
_LINE_BREAK = r"(?:\\n|\n)"
_MISTRAL = "[TOOL_CALLS]"
_GRANITE = re.compile(re.escape("<|tool_call|>") + " followed by a JSON list")
_BARE = re.compile(r'\{\\?"name\\?": [^{}]{1,60}\\?"parameters\\?": ')


def markers_of(*templates: str) -> Markers:
    """Return the markers of a model.

    A template that contains the end marker of a span was made for a model that was trained with this span.

    Args:
        templates: All chat templates of the model.
    """
    text = "\n".join(templates)
    thinking = next((one for one in _THINKING if one.end in text), None)
    return Markers(thinking, next(_call_formats(text), None))


def abilities(*templates: str) -> tuple[str, ...]:
    """Return which of `tools` and `thinking` a model can do, in the words of `ModelConfig.capabilities`.

    Args:
        templates: All chat templates of the model.
    """
    markers = markers_of(*templates)
    found = {"tools": markers.call, "thinking": markers.thinking}
    return tuple(name for name, marks in found.items() if marks is not None)


def _call_formats(text: str) -> Iterator[CallFormat]:
    """Yield the formats of tool calls that a template speaks of. The first is the model's own."""
    if _MISTRAL in text:
        yield _mistral(text)
    if _CALLS_ARE_JSON.search(text):
        for begin, end in _AROUND_JSON:
            if end in text:
                yield _around_json(text, begin, end)
    if _GRANITE.search(text):
        yield CallFormat("<|tool_call|>", before="[", between=", ", after="]")
    if takes_tools_in_system(text):
        yield CallFormat("<|tool_call|>", "<|/tool_call|>", before="[", between=", ", after="]")
    if _BARE.search(text):
        yield CallFormat("", arguments_key="parameters", tag="<|python_tag|>")


def _mistral(text: str) -> CallFormat:
    """Return the format of a Mistral: a list in the older ones, and in newer ones each name before its arguments."""
    if "[ARGS]" in text:
        return CallFormat(_MISTRAL, around_name=("", "[ARGS]", ""))
    space = " " if f"{_MISTRAL} [" in text else ""
    return CallFormat(_MISTRAL, before=f"{space}[", between=", ", after="]")


def _around_json(text: str, begin: str, end: str) -> CallFormat:
    """Return a format of JSON between markers, with line breaks and as a list where the template writes it so."""
    listed = re.search(rf"{re.escape(begin)}({_LINE_BREAK}?)\[", text)
    broken = listed[1] if listed is not None else re.search(f"{re.escape(begin)}{_LINE_BREAK}", text)
    gap = "\n" if broken else ""
    if listed is not None:
        return CallFormat(begin, end, before=f"{gap}[", between=", ", after=f"]{gap}", gap=gap)
    return CallFormat(begin, end, before=gap, after=gap, gap=gap)
