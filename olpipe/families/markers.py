"""How families of models mark thinking and tool calls, told by their chat templates."""

from __future__ import annotations

import re

from olpipe.decoding.reading import Markers, Span

_THINKING: tuple[Span, ...] = (("<think>", "</think>"), ("[THINK]", "[/THINK]"))
_CALLS: Span = ("<tool_call>", "</tool_call>")
# Others write the names and values of arguments between the same markers, as XML.
_CALLS_ARE_JSON = re.compile(r'\barguments\\?["\']: ')


def markers_of(*templates: str) -> Markers:
    """Return the markers of the model that chat templates belong to.

    A template that writes the end of a span was made for a model that was trained on it.
    """
    text = "\n".join(templates)
    thinking = next((span for span in _THINKING if span[1] in text), None)
    calls = _CALLS[1] in text and _CALLS_ARE_JSON.search(text)
    return Markers(thinking, _CALLS if calls else None)
