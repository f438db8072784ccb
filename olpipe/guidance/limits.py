"""What one schema, expression or grammar may cost. A schema beyond a limit is refused: it cannot slow the process.

The settings decide two of them. A process takes these over once, at its start, with `configure`.
"""

from __future__ import annotations

LARGEST_SOURCE = 2**20
"""Most characters of a schema's text. OLPIPE_MAX_SCHEMA changes it."""

LONGEST_STRING = 2**20
"""Most characters of a string of a finished document that an expression is looked for in."""

LONGEST_TEXT = {"regex": 20_000, "lark": 100_000}
"""Most characters of guidance of other kinds."""

DEEPEST_SCHEMA = 64
"""Most levels of schemas within schemas."""

MOST_SUBSCHEMAS = 5_000
"""Most schemas within one schema. To check one against the rules of JSON Schema takes about 0.3 ms."""

MOST_PROPERTIES = 2_000
"""Most named properties of one object. The grammar engine's effort grows with the square of their number."""

MOST_VALUES = 10_000
"""Most values of one `enum`."""

MOST_ALTERNATIVES = 256
"""Most alternatives that `anyOf`, `oneOf` and conditions make of one place, all combinations counted."""

MOST_DEPENDENCIES = 4
"""Most dependencies of one object that become a choice each. Where there are more, all of them become one choice."""

LONGEST_REQUIRED = 20_000
"""The largest `minLength` or `minItems`. No model's context has room for more."""

MOST_DEFINITIONS = 5_000
"""Most definitions of one schema, which are the different combinations of schemas that apply to a place."""

MOST_EFFORT = 100_000
"""Most schemas that are looked at while alternatives are combined. OLPIPE_GRAMMAR_EFFORT changes it."""

MOST_WIRE_NODES = 8_000
"""Most schemas within one wire schema."""

NESTINGS = (16, 8, 4, 2)
"""How deep a recursive schema may recur in one document: the first of these whose wire schema is not too large."""

MOST_ITEMS = 64
"""Most items of an array for which the schema gives no bound."""

MOST_CHARACTERS = 2_000
"""Most characters of a string for which the schema gives no bound."""

MOST_COUNTED_NAMES = 500
"""Most names that are counted to see whether a pattern allows as many as `minProperties` asks for."""

SHORTER_CAPS = (MOST_CHARACTERS, 200, 40)
"""The bounds to try for a string with a pattern, one after the other, until the grammar engine copes with one."""

LARGEST_INTEGER = 2**53 - 1
"""The bound of an integer for which the schema gives none. Every JSON reader keeps integers up to it exactly."""

LARGEST_NUMBER = 10**9
"""The bound of a number for which the schema gives none."""

MOST_STEPS = 10**15
"""The largest number, counted in steps from zero. Not every JSON reader keeps more than fifteen digits as written."""

DECIMALS = 6
"""Digits after the point of a number for which the schema asks for no finer steps."""

FEW_NUMBERS = 16
"""Most numbers of a range that is treated as a list of values where the items of an array must be different."""

MOST_NUMBERS = 1_000
"""Most numbers of a range that is written as an `enum`, because the grammar engine cannot count in its steps."""

LARGEST_STEP = 20_000
"""The largest `multipleOf`, taken as a whole number without its point and its trailing zeros.

Beyond it the grammar engine takes seconds.
"""

MOST_ARRANGEMENTS = 100
"""Most ways to begin an array of different values. Where there are more, they are not written out."""

PARSER: dict[str, int] = {
    "initial_lexer_fuel": 1_000_000,
    "step_lexer_fuel": 200_000,
    "step_max_items": 50_000,
    "max_grammar_size": 200_000,
    "verbose_errors": False,
}
"""Limits of the grammar engine: about 20 ms for the beginning, 15 ms and 2.5 ms for a token, and bounded memory.

OLPIPE_GRAMMAR_EFFORT changes them.
"""

_USUAL_EFFORT = MOST_EFFORT
_USUAL_PARSER = {name: most for name, most in PARSER.items() if name != "verbose_errors"}


def configure(*, largest_schema: int, effort: int) -> None:
    """Take over what the settings say. What was compiled before stays as it is.

    Args:
        largest_schema: Most characters of a schema's text.
        effort: How much one grammar may cost, in per cent of what is usual.
    """
    global LARGEST_SOURCE, MOST_EFFORT
    LARGEST_SOURCE = largest_schema
    MOST_EFFORT = max(1, _USUAL_EFFORT * effort // 100)
    PARSER.update({name: max(1, usual * effort // 100) for name, usual in _USUAL_PARSER.items()})
