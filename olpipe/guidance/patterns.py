r"""Rewrite the regular expressions of schemas, so that Python's `re` and the grammar engine read them alike.

JSON Schema's expressions are those of ECMAScript. The judge of finished documents reads them as Python's, and the
grammar engine reads them as Rust's. A document has to satisfy all three. So where they differ, the narrowest meaning is
taken: `\d` is 0 to 9, and `[^\d]` is anything but a digit of any script.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from olpipe.errors import SchemaError
from olpipe.guidance import limits

MOST_REPEATS = 2
"""Most unbounded repeats of an expression that Python's backtracking search is used for."""

_QUANTIFIER = re.compile(r"\{(\d*)(,?)(\d*)\}")
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)", re.DOTALL)

# Characters that are certainly no digit, no letter or no space in any of the three languages.
_NARROW = {"D": r" -/:-~\u00a0-\u065f", "W": r" -/:-@\[-\^`{-~", "S": r"!-~\u00a1-\u167f\u2010-\u2027\u3001-\uffef"}
# All characters that may be a digit, a letter or a space in any of the three languages.
_WIDE = {"d": r"\p{Nd}", "w": r"\p{L}\p{N}_", "s": r"\s\x1c-\x1f\x85"}


def translate(pattern: str, path: str) -> list[str]:
    """Return the expressions that take the place of a pattern: a text that contains all of them contains `pattern`.

    Args:
        pattern: A regular expression, as the schema gives it.
        path: Where it stands in the schema.

    Raises:
        SchemaError: It is not a regular expression, or no grammar can express it. The message names the path.
    """
    # 1. Python judges the finished document, so Python has to know the expression.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise SchemaError(f"`{path}` is not a regular expression that can be checked: {error}") from error
    # 2. Each look-ahead at the very start becomes an expression of its own.
    expressions = []
    while (end := _ahead(pattern)) is not None:
        expressions.append("^" + _rewrite(pattern[4:end]))
        pattern = f"^{pattern[end + 1 :]}"
    # 3. All else that looks around or back is refused. Classes and harmless escapes are left out of the search.
    bare = re.sub(r"\[\^?\]?(?:\\.|[^\]\\])*\]|\\[^bB1-9]", "", pattern, flags=re.DOTALL)
    if re.search(r"\(\?(?:[=!<]|P=)|\\[bB1-9]", bare):
        raise SchemaError(
            f"`{path}` cannot be enforced: it looks around or back",
            hint="write it without `(?!`, `(?<`, `\\b` and `\\1`",
        )
    return [*expressions, _rewrite(pattern)]


def contains(pattern: str, text: str) -> bool:
    """Say whether a text contains an expression, in bounded time for every expression.

    Python searches by backtracking, which takes forever for some expressions. For these the grammar engine is asked,
    which does not backtrack. It reads the text as a JSON string.
    """
    if not explosive(pattern):
        return re.search(pattern, text) is not None
    matcher = _searcher(pattern).deep_copy()
    data = json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f").encode("utf-8", "surrogatepass")
    return bool(matcher.try_consume_tokens(list(data)) == len(data) and matcher.is_accepting())


def explosive(pattern: str) -> bool:
    """Say whether a backtracking search may take forever: repeats within repeats, or many repeats in a row.

    The answer may be yes for an expression that is harmless, but not the other way round.
    """
    # 1. Each escape and each class becomes the character `c`, so that only groups and repeats are left.
    bare = re.sub(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", "c", pattern, flags=re.DOTALL)
    many = r"(?:[*+]|\{\d*,\}|\{\d*,?\d{2,}\})"
    if len(re.findall(many, bare)) > MOST_REPEATS:
        return True
    # 2. The groups, from the inside out.
    while group := re.search(r"\([^()]*\)", bare):
        inside = group[0]
        follows = re.match(many, bare[group.end() :])
        if follows and ("|" in inside or re.search(f"{many}|r", inside)):
            return True
        # The group becomes one character: `r` tells the groups around it that there are repeats or choices within.
        bare = bare[: group.start()] + ("r" if re.search(f"{many}|r|\\|", inside) else "c") + bare[group.end() :]
    return False


@lru_cache(maxsize=256)
def _searcher(pattern: str) -> Any:
    """Return a matcher of the JSON strings that contain an expression."""
    return _compiled(string_schema(translate(pattern, "pattern"), 0, limits.LONGEST_STRING))


def _ahead(pattern: str) -> int | None:
    """Return the index of the bracket that closes a look-ahead at the start of an expression; None where there is none.

    A look-ahead that is only a part of a choice between expressions does not count.
    """
    if not pattern.startswith("^(?="):
        return None
    depth, position = 0, 1
    while position < len(pattern):
        character = pattern[position]
        if character == "\\":
            position += 1
        elif character == "[":
            position = _class_end(pattern, position)
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return position if "|" not in _outside(pattern[position + 1 :]) else None
        position += 1
    return None


def _outside(pattern: str) -> str:
    """Return an expression without its escapes, classes and groups."""
    bare = re.sub(r"\\.|\[[^\]]*\]", "", pattern, flags=re.DOTALL)
    while bare != (bare := re.sub(r"\([^()]*\)", "", bare)):
        pass
    return bare


def _class_end(pattern: str, start: int) -> int:
    """Return the index of the bracket that closes the character class that begins at an index."""
    position = start + 1
    if pattern[position] == "^":
        position += 1
    position += pattern[position] == "]"
    while pattern[position] != "]":
        position += 2 if pattern[position] == "\\" else 1
    return position


def _rewrite(pattern: str) -> str:
    """Return an expression as the grammar engine writes it: escapes, classes and quantifiers differ."""
    parts: list[str] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        if character == "\\":
            escape = _ESCAPE.match(pattern, position)
            assert escape is not None  # Python refuses an expression that ends in a backslash
            parts.append(_escaped(escape[1]))
            position = escape.end()
        elif character == "[":
            end = _class_end(pattern, position)
            parts.append(_class(pattern[position + 1 : end]))
            position = end + 1
        elif character in "{}":
            quantifier = _QUANTIFIER.match(pattern, position)
            if quantifier and any(quantifier.groups()):
                low, comma, high = quantifier.groups()
                parts.append(f"{{{low or 0}{comma}{high}}}")
                position = quantifier.end()
            else:
                parts.append("\\" + character)
                position += 1
        else:
            parts.append(character)
            position += 1
    return "".join(parts)


def _escaped(escape: str) -> str:
    """Return an escape that stands outside a class."""
    if escape in _NARROW:
        return f"[{_NARROW[escape]}]"
    if escape == "0":
        return r"\x00"
    return "\\" + escape if escape.isalnum() else re.escape(escape)


def _class(inside: str) -> str:
    """Return a character class for the grammar engine.

    Args:
        inside: What stands between the brackets.
    """
    negated = inside.startswith("^")
    inside = inside[negated:]
    if not negated and any(pair in inside for pair in (r"\s\S", r"\S\s", r"\d\D", r"\D\d", r"\w\W", r"\W\w")):
        return r"[\s\S]"
    parts: list[str] = []
    position = 0
    while position < len(inside):
        character = inside[position]
        if character == "\\":
            escape = _ESCAPE.match(inside, position)
            assert escape is not None
            parts.append(_escaped_inside(escape[1], negated))
            position = escape.end()
            continue
        is_range = character == "-" and 0 < position < len(inside) - 1 and inside[position - 1] != "-"
        parts.append("-" if is_range else "\\" + character if character in r"[]&~-^" else character)
        position += 1
    return f"[{'^' if negated else ''}{''.join(parts)}]"


def _escaped_inside(escape: str, negated: bool) -> str:
    """Return an escape that stands inside a class."""
    if negated and escape in _WIDE:
        return _WIDE[escape]
    if not negated and escape in _NARROW:
        return _NARROW[escape]
    if escape in "0b":
        return {"0": r"\x00", "b": r"\x08"}[escape]
    return "\\" + escape if escape.isalnum() else re.escape(escape)


def all_but(texts: Iterable[str]) -> str:
    """Return an expression of every text but these.

    A text that begins with none of their first characters is allowed. For one that begins with such a character, the
    rest must not be the rest of one of these texts, which is the same task again.

    Raises:
        SchemaError: There are too many texts, or they are too long.
    """
    by_first: dict[str, list[str]] = {}
    texts = set(texts)
    for text in texts:
        if text:
            by_first.setdefault(text[0], []).append(text[1:])
    if len(texts) > limits.MOST_ALTERNATIVES or max(map(len, texts), default=0) > limits.MOST_CHARACTERS // 20:
        raise SchemaError("too many or too long texts are excluded at one place")
    firsts = "".join(f"\\U{ord(first):08x}" for first in by_first)
    ways = [f"[^{firsts}](?s:.*)" if firsts else "(?s:.+)"]
    ways += [f"\\U{ord(first):08x}{all_but(rest)}" for first, rest in by_first.items()]
    return f"(?:{'|'.join(ways)}){'' if '' in texts else '?'}"


@lru_cache(maxsize=4096)
def satisfiable(patterns: Sequence[str], shortest: int, longest: int) -> bool:
    """Say whether there is a text that contains all expressions and has a length within the bounds.

    Raises:
        SchemaError: The grammar engine finds no answer within its limits, or does not know an expression.
    """
    matcher = _compiled(string_schema(patterns, shortest, longest))
    if not matcher.is_error():
        return True
    message = str(matcher.get_error())
    if "Unsatisfiable" in message:
        return False
    raise SchemaError(f"the pattern `{patterns[0]}` cannot be enforced: {' '.join(message.split())[:200]}")


def some_texts(expression: str, most: int) -> set[str]:
    """Return texts that satisfy an expression: as many as `most`, or all of them where they are fewer."""
    start = _compiled(string_schema([expression], 0, limits.MOST_CHARACTERS))
    found: set[str] = set()
    waiting = [(start, b"")]
    while waiting and len(found) < most:
        matcher, text = waiting.pop()
        if len(text) > 1 and matcher.is_accepting():
            found.add(json.loads(text))
            continue
        mask = matcher.compute_bitmask()
        following = [byte for byte in range(256) if mask[byte >> 3] >> (byte & 7) & 1]
        following.sort(key=lambda byte: byte == ord('"'))  # the last one goes on first, so that texts end early
        for byte in following[-most - 1 :]:
            after = matcher.deep_copy()
            after.consume_token(byte)
            waiting.append((after, text + bytes((byte,))))
    return found


def _compiled(schema: Mapping[str, object]) -> Any:
    """Return a matcher of a wire schema whose tokens are single bytes."""
    import llguidance

    grammar = llguidance.LLMatcher.grammar_from_json_schema(dict(schema))
    bounds = llguidance.LLParserLimits(**limits.PARSER)
    return llguidance.LLMatcher(llguidance.LLTokenizer("byte"), grammar, limits=bounds, log_level=0)


def string_schema(patterns: Sequence[str], shortest: int, longest: int) -> dict[str, object]:
    """Return a wire schema of strings that contain all expressions and have a length within the bounds."""
    schema: dict[str, object] = {"type": "string", "maxLength": longest}
    if shortest:
        schema["minLength"] = shortest
    if patterns:
        schema["pattern"] = patterns[0]
    if patterns[1:]:
        schema["allOf"] = [{"pattern": pattern} for pattern in patterns[1:]]
    return schema
