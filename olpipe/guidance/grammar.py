"""Compile guidance into grammars, once per schema and model."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import llguidance

from olpipe.errors import SchemaError
from olpipe.generation import Guidance
from olpipe.guidance.schema import read_schema, wire_schema

MOST_GRAMMARS = 64

# Fixed, compact separators: flexible white space is what makes constrained JSON slow and endless.
_COMPACT = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}

# What one schema may cost: about 20 ms to begin with, 15 ms and 2.5 ms for a token, and bounded memory.
_LIMITS = {
    "initial_lexer_fuel": 1_000_000,
    "step_lexer_fuel": 200_000,
    "step_max_items": 50_000,
    "max_grammar_size": 200_000,
    "verbose_errors": False,
}


class Grammars:
    """Compiled grammars of one model, least recently used dropped first."""

    def __init__(self, tokenizer: llguidance.LLTokenizer) -> None:
        self._tokenizer = tokenizer
        self._compiled: OrderedDict[tuple[str, str, tuple[str, ...]], llguidance.LLMatcher] = OrderedDict()

    def matcher(self, guidance: Guidance) -> llguidance.LLMatcher:
        """Return a fresh matcher for a guidance.

        Raises:
            SchemaError: The grammar cannot be compiled, or no text satisfies it.
        """
        key = _key(guidance)
        compiled = self._compiled.get(key)
        if compiled is None:
            compiled = self._compile(guidance)
            self._compiled[key] = compiled
            if len(self._compiled) > MOST_GRAMMARS:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(key)
        return compiled.deep_copy()

    def __len__(self) -> int:
        return len(self._compiled)

    def __contains__(self, guidance: Guidance) -> bool:
        return _key(guidance) in self._compiled

    def _compile(self, guidance: Guidance) -> llguidance.LLMatcher:
        try:
            grammar = _grammar(guidance)
        except ValueError as error:
            raise SchemaError(f"the schema cannot be decoded to: {error}") from error
        limits = llguidance.LLParserLimits(**_LIMITS)
        matcher = llguidance.LLMatcher(self._tokenizer, grammar, limits=limits, log_level=0)
        if matcher.is_error():
            raise SchemaError(f"the schema cannot be decoded to: {matcher.get_error().splitlines()[0]}")
        return matcher


def _key(guidance: Guidance) -> tuple[str, str, tuple[str, ...]]:
    """Return what decides a grammar: constants' names matter, their values do not."""
    return (guidance.kind, guidance.source, tuple(name for name, _ in guidance.constants))


def _grammar(guidance: Guidance) -> str:
    grammar: str
    if guidance.kind == "regex":
        grammar = llguidance.LLMatcher.grammar_from_regex(guidance.source)
    elif guidance.kind == "lark":
        grammar = llguidance.LLMatcher.grammar_from_lark(guidance.source)
    else:
        schema: Mapping[str, Any] = {"type": "object"}
        if guidance.kind == "json_schema":
            schema = wire_schema(read_schema(guidance.source), without=[name for name, _ in guidance.constants])
        grammar = llguidance.LLMatcher.grammar_from_json_schema(dict(schema), overrides=_COMPACT)
    return grammar
