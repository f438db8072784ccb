"""What one schema, expression or grammar may cost. Beyond it the schema is refused, never the process slowed."""

from __future__ import annotations

LARGEST_SOURCE = 2**20
"""Characters of a schema's text."""

LONGEST_TEXT = {"regex": 20_000, "lark": 100_000}
"""Characters of guidance of other kinds."""

DEEPEST_SCHEMA = 64
"""Levels of schemas within schemas."""

MOST_SUBSCHEMAS = 5_000
"""Schemas within one schema: checking one against the rules of JSON Schema costs about 0.3 ms."""

MOST_PROPERTIES = 2_000
"""Named properties of one object: the grammar engine's effort grows with their square."""

MOST_VALUES = 10_000
"""Values of one `enum`."""

MOST_ALTERNATIVES = 256
"""Alternatives that `anyOf`, `oneOf` and conditions make of one place, all combinations counted."""

MOST_DEPENDENCIES = 4
"""Dependencies of one object that are combined one by one; more are satisfied all at once."""

LONGEST_REQUIRED = 20_000
"""Characters or items that a string or an array may have to have: no context holds more."""

MOST_DEFINITIONS = 5_000
"""Different combinations of schemas that apply to one place."""

MOST_EFFORT = 100_000
"""Schemas looked at while alternatives are combined."""

MOST_WIRE_NODES = 8_000
"""Schemas of one wire schema."""

NESTINGS = (16, 8, 4, 2)
"""How deep a recursive schema may recur in one document: the first of these that keeps the wire schema small."""

MOST_ITEMS = 64
"""Cap of an array that the schema does not bound itself."""

MOST_CHARACTERS = 2_000
"""Cap of a string that the schema does not bound itself."""

SHORTER_CAPS = (MOST_CHARACTERS, 200, 40)
"""Caps that are tried for a string with a pattern, until the grammar engine manages."""

LARGEST_INTEGER = 2**53 - 1
"""Bound of an integer that the schema does not bound itself: what every JSON reader keeps exact."""

LARGEST_NUMBER = 10**9
"""Bound of a number that the schema does not bound itself."""

MOST_STEPS = 10**15
"""How many steps from zero a number may be: beyond fifteen digits not every reader keeps it as it is written."""

DECIMALS = 6
"""Digits after the point of a number that the schema does not make finer itself."""

FEW_NUMBERS = 16
"""Numbers of a range that are told apart when an array wants different items."""

MOST_NUMBERS = 1_000
"""Numbers that are written out because the grammar engine cannot count in their steps."""

LARGEST_STEP = 20_000
"""Digits of a `multipleOf` less trailing zeros, as a number: beyond it the grammar engine takes seconds."""

MOST_ARRANGEMENTS = 100
"""Ways to begin an array of different values that are written out."""

PARSER = {
    "initial_lexer_fuel": 1_000_000,
    "step_lexer_fuel": 200_000,
    "step_max_items": 50_000,
    "max_grammar_size": 200_000,
    "verbose_errors": False,
}
"""Limits of the grammar engine: about 20 ms to begin with, 15 ms and 2.5 ms for a token, and bounded memory."""
