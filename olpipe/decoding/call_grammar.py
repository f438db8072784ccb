"""Write the grammar of tool calls in a model's own format."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from olpipe.decoding.constraint import Constraint
from olpipe.decoding.names import Names
from olpipe.decoding.reading import CallFormat
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.generation import Tool
from olpipe.guidance.grammar import Grammars
from olpipe.guidance.outline import Outline
from olpipe.guidance.tools import arguments_schema, calls_schema
from olpipe.guidance.wire import makes_up_names

MOST_CALLS = 16
"""Most tool calls side by side."""

MOST_KEPT = 64
"""Grammars whose text is kept."""

# White space as the library json writes it, and as chat templates show calls to the model.
_SPACED = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


@dataclass(frozen=True, slots=True)
class Calls:
    """Which calls a grammar allows.

    Attributes:
        tools: What may be called.
        sections: Whether several sections may follow each other.
        many: Whether there may be several calls.
    """

    tools: tuple[Tool, ...]
    sections: bool
    many: bool = True


class CallGrammars:
    """The grammars of one model's tool calls.

    They begin behind the marker of a section of calls, and they end with the section.
    """

    def __init__(self, vocabulary: Vocabulary, grammars: Grammars, format_: CallFormat) -> None:
        """Set up for one model.

        Args:
            vocabulary: Its tokens.
            grammars: Its compiled grammars.
            format_: How it writes tool calls.
        """
        self._vocabulary = vocabulary
        self._grammars = grammars
        self._format = format_
        # Added tokens of white space are left to the tokenizer.
        added = {_spelling(vocabulary, token): token for token in vocabulary.special_in(format_.texts)}
        self._tokens = {spelling: token for spelling, token in added.items() if spelling.strip()}
        longest_first = sorted(self._tokens, key=len, reverse=True)
        self._special = re.compile(f"({'|'.join(map(re.escape, longest_first)) or '(?!)'})")
        self._texts: OrderedDict[Calls, tuple[str, bool]] = OrderedDict()

    def constraint(self, calls: Calls) -> Constraint:
        """Return what holds tool calls to the schemas of their tools.

        Raises:
            SchemaError: The parameters of a tool cannot be enforced.
        """
        if calls not in self._texts:
            self._texts[calls] = self._written(calls)
            if len(self._texts) > MOST_KEPT:
                self._texts.popitem(last=False)
        self._texts.move_to_end(calls)
        text, made_up = self._texts[calls]
        matcher = self._grammars.written(text, "a call of these tools")
        return Constraint(matcher, self._vocabulary, Outline(), Names() if made_up else None)

    def _written(self, calls: Calls) -> tuple[str, bool]:
        """Return the text of a grammar, and whether the model makes up names of properties in it."""
        arguments = {tool.name: arguments_schema(tool) for tool in calls.tools}
        own = self._format
        # 1. A section: one call, or several.
        section = [*self._literal(own.before), "call", *self._literal(own.after), *self._literal(own.end)]
        if own.between and calls.many:
            more = " ".join(self._literal(own.between))
            section.insert(section.index("call") + 1, f"({more} call){{0,{MOST_CALLS - 1}}}")
        # 2. One section, or several.
        start = ["section"]
        if calls.sections and calls.many and own.begin:
            start.append(f"({' '.join(self._literal(own.gap + own.begin))} section){{0,{MOST_CALLS - 1}}}")
        rules = [f"start: {' '.join(start)}", f"section: {' '.join(section)}", *self._call(arguments)]
        return "\n".join(rules) + "\n", any(map(makes_up_names, arguments.values()))

    def _call(self, arguments: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
        """Yield the rules of one call."""
        own = self._format
        if own.around_name is None:
            schema = calls_schema(arguments, name_key=own.name_key, arguments_key=own.arguments_key)
            yield f"call: {_json(schema)}"
            return
        before, between, behind = (" ".join(self._literal(text)) for text in own.around_name)
        yield f"call: {' | '.join(f'call{number}' for number in range(len(arguments)))}"
        for number, (name, takes) in enumerate(arguments.items()):
            yield f"call{number}: {before} {_quoted(name)} {between} arguments{number} {behind}"
            yield f"arguments{number}: {_json(takes)}"

    def _literal(self, text: str) -> list[str]:
        """Return a text as a grammar spells it: special tokens by their ids, all else in quotation marks."""
        pieces: Iterable[str] = filter(None, self._special.split(text))
        return [f"<[{self._tokens[piece]}]>" if piece in self._tokens else _quoted(piece) for piece in pieces]


def _json(schema: Mapping[str, Any]) -> str:
    return f"%json {json.dumps({'x-guidance': _SPACED, **schema})}"


def _quoted(text: str) -> str:
    return json.dumps(text)


def _spelling(vocabulary: Vocabulary, token: int) -> str:
    return vocabulary.bytes_of((token,), visible=(token,)).decode()
