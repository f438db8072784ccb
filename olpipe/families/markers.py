"""Find out from a chat template how a model marks thinking and tool calls."""

from __future__ import annotations

import re

from olpipe.decoding.reading import Markers, Span

_THINKING: tuple[Span, ...] = (("<think>", "</think>"), ("[THINK]", "[/THINK]"))
_CALLS: Span = ("<tool_call>", "</tool_call>")
# How a template writes a call as JSON. Some models write calls as XML between the same markers, which is not read.
_CALLS_ARE_JSON = re.compile(r'\barguments\\?["\']: ')


def markers_of(*templates: str) -> Markers:
    """Return the markers of a model.

    A template that contains the end marker of a span was made for a model that was trained with this span.

    Args:
        templates: All chat templates of the model.
    """
    text = "\n".join(templates)
    thinking = next((span for span in _THINKING if span[1] in text), None)
    calls = _CALLS[1] in text and _CALLS_ARE_JSON.search(text)
    return Markers(thinking, _CALLS if calls else None)
