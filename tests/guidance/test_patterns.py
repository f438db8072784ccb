from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe.errors import SchemaError
from olpipe.guidance.patterns import all_but, contains, explosive, satisfiable, translate


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (r"^[\w-]+$", "a-b", True),
        (r"^\w$", "é", False),  # ECMAScript's word characters, which Python's include
        (r"^[^\d]$", "٣", False),  # a digit to Python
        (r"^\D$", "٣", False),
        (r"^[\s\S]$", "é", True),
        (r"^\S$", "\u3000", False),
        (r"^\/\-\_$", "/-_", True),
        (r"^a{,2}$", "aa", True),
        (r"^{a}$", "{a}", True),
        (r"^[]a]$", "]", True),
        (r"^[[a]$", "[", True),
        (r"^[a&&b]$", "&", True),
        (r"^[+--]$", ",", True),
        (r"^[\b]$", "\b", True),
        (r"^\0$", "\0", True),
        (r"^(?=.*[0-9])(?=.*[a-z]).{3}$", "1-a", True),
        (r"^(?=.*[0-9])(?=.*[a-z]).{3}$", "1-1", False),
        (r"^a|b$", "xb", True),
    ],
)
def test_expressions_mean_to_the_grammar_what_they_mean_to_the_judge(pattern, text, expected):
    exactly = [*translate(pattern, "$"), "^" + "".join(rf"\U{ord(character):08x}" for character in text) + "$"]
    assert satisfiable(tuple(exactly), 0, 10) is expected
    if expected:
        assert re.search(pattern, text)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "`\\$.a` is not a regular expression that can be checked"),
        (r"^\p{L}$", "`\\$.a` is not a regular expression that can be checked"),
        ("^(?!no)", "`\\$.a` cannot be enforced: it looks around or back"),
        (r"(a)\1", "`\\$.a` cannot be enforced: it looks around or back"),
        (r"\bword\b", "`\\$.a` cannot be enforced: it looks around or back"),
    ],
)
def test_what_no_grammar_holds_is_refused_with_its_path(pattern, message):
    with pytest.raises(SchemaError, match=message):
        translate(pattern, "$.a")


@pytest.mark.parametrize("pattern", ["^(a+)+$", "(a|aa)*b", "^((a*)b?)*$", ".*.*.*=", "(x{1,1000}y?){5,}"])
def test_expressions_that_explode_are_noticed_and_searched_without_backtracking(pattern):
    assert explosive(pattern)
    assert not contains(f"{pattern}Z$", "a" * 5000)


@pytest.mark.parametrize("pattern", ["^[a-z]+$", r"^\d{3}-\d{4}$", "^(foo|bar)$", r"^[\w.]+@[\w.]+$", r"^\(a+\)+$"])
def test_ordinary_expressions_are_left_to_python(pattern):
    assert not explosive(pattern)


@given(st.sets(st.text(alphabet="ab\n𝄞]^", max_size=3), max_size=4), st.text(alphabet="ab\n𝄞]^", max_size=4))
def test_all_but_some_texts_is_every_other_text(excluded, text):
    assert bool(re.fullmatch(all_but(excluded), text)) is (text not in excluded)
