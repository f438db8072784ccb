"""Compile guidance into grammars, once for each schema and model."""

from __future__ import annotations

from collections import OrderedDict

import llguidance

from olpipe.errors import SchemaError
from olpipe.generation import Guidance
from olpipe.guidance import limits
from olpipe.guidance.schema import valid_schema
from olpipe.guidance.wire import makes_up_names, wire_schema

MOST_GRAMMARS = 64
"""Compiled grammars that are kept."""

LONGEST_REASON = 200
"""Most characters of the grammar engine's own message in an error."""

_Key = tuple[str, str, tuple[str, ...]]

# No white space between the parts of JSON: a small model may write white space without end, and each of it costs time.
_COMPACT = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}


class Grammars:
    """The compiled grammars of one model. Of too many, the one that was not used for the longest time is dropped."""

    def __init__(self, tokenizer: llguidance.LLTokenizer) -> None:
        self._tokenizer = tokenizer
        self._compiled: OrderedDict[_Key, tuple[llguidance.LLMatcher, bool]] = OrderedDict()

    def matcher(self, guidance: Guidance) -> llguidance.LLMatcher:
        """Return a new matcher, which follows one text from its beginning.

        Raises:
            SchemaError: The guidance is too long, it cannot be compiled, or no text satisfies it.
        """
        return self._find(guidance)[0].deep_copy()

    def makes_up_names(self, guidance: Guidance) -> bool:
        """Say whether the model makes up names of properties. The grammar does not keep these different.

        Raises:
            SchemaError: As `matcher` does.
        """
        return self._find(guidance)[1]

    def written(self, grammar: str, what: str) -> llguidance.LLMatcher:
        """Return a new matcher of a grammar in Lark's language, which olpipe wrote itself.

        Args:
            grammar: Its text.
            what: What it is for, for the error message.

        Raises:
            SchemaError: It cannot be compiled.
        """
        key = ("lark", grammar, (what,))
        if key not in self._compiled:
            self._keep(key, (self._matcher(llguidance.LLMatcher.grammar_from_lark(grammar), what), False))
        self._compiled.move_to_end(key)
        return self._compiled[key][0].deep_copy()

    def _find(self, guidance: Guidance) -> tuple[llguidance.LLMatcher, bool]:
        """Return a compiled grammar, and whether the model makes up names in it."""
        key = _key(guidance)
        if key not in self._compiled:
            self._keep(key, self._compile(guidance))
        self._compiled.move_to_end(key)
        return self._compiled[key]

    def _keep(self, key: _Key, compiled: tuple[llguidance.LLMatcher, bool]) -> None:
        self._compiled[key] = compiled
        if len(self._compiled) > MOST_GRAMMARS:
            self._compiled.popitem(last=False)

    def __len__(self) -> int:
        return len(self._compiled)

    def __contains__(self, guidance: Guidance) -> bool:
        return _key(guidance) in self._compiled

    def _compile(self, guidance: Guidance) -> tuple[llguidance.LLMatcher, bool]:
        longest = limits.LONGEST_TEXT.get(guidance.kind, limits.LARGEST_SOURCE)
        if len(guidance.source) > longest:
            raise SchemaError(f"the {guidance.kind} has {len(guidance.source):,} characters, more than {longest:,}")
        try:
            grammar, made_up = _grammar(guidance)
        except ValueError as error:
            raise SchemaError(f"the schema or grammar cannot be enforced: {error}") from error
        return self._matcher(grammar, "the schema or grammar"), made_up

    def _matcher(self, grammar: str, what: str) -> llguidance.LLMatcher:
        """Compile a grammar within limits."""
        bounds = llguidance.LLParserLimits(**limits.PARSER)
        matcher = llguidance.LLMatcher(self._tokenizer, grammar, limits=bounds, log_level=0)
        # A grammar may compile and still allow no first token: where rules only name each other, for example, or where
        # an expression is beyond the limits. So the first token is tried on a copy.
        probe = matcher.deep_copy()
        if not matcher.is_error() and any(probe.compute_bitmask()) and not probe.is_error():
            return matcher
        reason = (matcher.get_error() or probe.get_error() or "nothing satisfies it").splitlines()[0]
        raise SchemaError(f"{what} cannot be enforced: {reason[:LONGEST_REASON]}")


def _key(guidance: Guidance) -> _Key:
    """Return what a grammar depends on. Of known values only the names count: they are left out of the grammar."""
    return (guidance.kind, guidance.source, tuple(name for name, _ in guidance.constants))


def _grammar(guidance: Guidance) -> tuple[str, bool]:
    """Return the text of a grammar, as the grammar engine reads it, and whether the model makes up names in it.

    Raises:
        SchemaError: The schema is not valid or cannot be enforced.
        ValueError: The expression or the grammar is not well formed.
    """
    if guidance.kind == "regex":
        return llguidance.LLMatcher.grammar_from_regex(guidance.source), False
    if guidance.kind == "lark":
        return llguidance.LLMatcher.grammar_from_lark(guidance.source), False
    schema = valid_schema(guidance.source) if guidance.kind == "json_schema" else {"type": "object"}
    wire = wire_schema(schema, without=[name for name, _ in guidance.constants])
    return llguidance.LLMatcher.grammar_from_json_schema(wire, overrides=_COMPACT), makes_up_names(wire)
