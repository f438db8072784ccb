"""Thinking and tool calls are told from text, however the text arrives."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from olpipe.decoding.reading import AnswerReader, CallFormat, CallReader, Markers, ThinkingFormat
from tests.decoding.scripts import CALL, COUNTING, HERMES, MARKERS, THINK

OPENED = "<tool_call>"


def read(pieces, *, calls=True, thinking=False, markers=MARKERS):
    """Return text, thinking, and (name, arguments) of every call, once all pieces were fed."""
    reader = AnswerReader(markers, calls=calls, thinking=thinking)
    found = [*(reader.feed(piece) for piece in pieces), reader.finish()]
    made = [call for piece in found for call in piece.calls]
    text, thought = ("".join(getattr(piece, part) for piece in found) for part in ("text", "thinking"))
    return text, thought, [(call.name, call.arguments) for call in made]


def shown(pieces):
    """Return the text that each piece made known."""
    reader = AnswerReader(MARKERS, calls=True, thinking=False)
    return [*(reader.feed(piece).text for piece in pieces), reader.finish().text]


def test_an_answer_without_markers_is_text_at_once():
    assert shown(["The ", "sea"]) == ["The ", "sea", ""]


def test_thinking_comes_before_the_answer():
    assert read(["<think>\nWaves?\n</think>\n\nThe sea."]) == ("The sea.", "Waves?\n", [])


def test_thinking_that_the_prompt_has_opened_needs_no_marker():
    assert read(["\nWaves?</think>The sea."], thinking=True) == ("The sea.", "Waves?", [])


def test_thinking_that_never_ends_is_thinking():
    assert read(["<think>Waves? Or </thi"]) == ("", "Waves? Or </thi", [])
    assert read(["Waves?"], thinking=True) == ("", "Waves?", [])


def test_a_model_may_think_twice():
    assert read(["<think>a</think>b<think>c</think>d"]) == ("bd", "ac", [])


def test_a_call_is_read_with_its_arguments_in_the_models_order():
    call = '{"name": "look", "arguments": {"z": 1.50, "a": [true, null, 12345678901234567890]}}'
    text, _, calls = read([f"<tool_call>\n{call}\n</tool_call>"])
    assert (text, calls) == ("", [("look", '{"z":1.5,"a":[true,null,12345678901234567890]}')])


def test_a_call_is_known_as_soon_as_it_is_whole():
    reader = AnswerReader(MARKERS, calls=True, thinking=False)
    at = CALL.index("}}") + 2
    assert not reader.feed(CALL[: at - 1])
    assert [call.name for call in reader.feed(CALL[at - 1 : at]).calls] == ["look"]
    assert reader.state == "call"


def test_every_call_has_an_id_of_its_own():
    pieces = AnswerReader(MARKERS, calls=True, thinking=False).feed(f"{CALL}\n{COUNTING}")
    one, other = (call.call_id for call in pieces.calls)
    assert one != other
    assert re.fullmatch("call_[a-z0-9]{8}", one)


def test_text_follows_a_call_where_the_grammar_says_that_the_call_is_over():
    reader = AnswerReader(MARKERS, calls=True, thinking=False)
    assert reader.feed(f"I look. {CALL}").text == "I look. "
    reader.enter("text")
    assert reader.feed("\nSoon.").text == "Soon."


def test_a_document_is_text_as_it_is():
    reader = AnswerReader(MARKERS, calls=True, thinking=True)
    assert reader.feed("Hm.</think>\n\n").thinking == "Hm."
    reader.enter("document")
    document = '  "<think><tool_call>{}'
    assert [reader.feed(character).text for character in document] == list(document)
    assert not reader.finish()


def test_where_no_tools_are_offered_the_markers_of_calls_are_text():
    assert read([CALL], calls=False) == (CALL, "", [])


def test_a_model_that_does_not_think_has_no_markers_for_it():
    assert read(["<think>a</think>"], markers=Markers(call=HERMES)) == ("<think>a</think>", "", [])


def test_markers_of_calls_are_thoughts_while_the_model_thinks():
    assert read([f"<think>{CALL}</think>b"]) == ("b", CALL, [])


def test_a_call_that_never_ends_is_left_out():
    assert read(['Well <tool_call>{"name":"look"']) == ("Well ", "", [])


@pytest.mark.parametrize(
    ("format_", "text"),
    [
        (HERMES, f"{CALL}\n{COUNTING}".removeprefix(OPENED)),
        (
            CallFormat("[TOOL_CALLS]", before="[", between=", ", after="]"),
            '[{"name": "look", "arguments": {"at": "sea"}}, {"name": "count", "arguments": {"most": 3, "all": true}}]',
        ),
        (
            CallFormat("[TOOL_CALLS]", around_name=("", "[ARGS]", "")),
            'look[ARGS]{"at": "sea"}[TOOL_CALLS]count[ARGS]{"most": 3, "all": true}',
        ),
        (
            CallFormat("<calls>", "</calls>", between="\n", around_name=("<call>function<sep>", "\n", "</call>")),
            '<call>function<sep>look\n{"at": "sea"}</call>\n<call>function<sep>count\n{"most": 3, "all": true}</call>',
        ),
        (
            CallFormat("", name_key="tool", arguments_key="parameters"),
            '{"tool": "look", "parameters": {"at": "sea"}}{"tool": "count", "parameters": {"most": 3, "all": true}}',
        ),
    ],
)
def test_calls_are_read_in_any_format_however_they_arrive(format_, text):
    for size in (1, 7, len(text)):
        reader = CallReader(format_)
        pieces = [text[start : start + size] for start in range(0, len(text), size)]
        made = [(call.name, call.arguments) for piece in pieces for call in reader.feed(piece)]
        assert made == [("look", '{"at":"sea"}'), ("count", '{"most":3,"all":true}')]


def test_white_space_around_markers_belongs_to_no_part():
    assert read(["\n <think>\n a</think>\n\n \n b"]) == ("b", "a", [])


def test_white_space_before_a_plain_answer_is_the_models_own():
    assert read(["  \n", "def", " f():"]) == ("  \ndef f():", "", [])


def test_an_answer_of_white_space_is_nothing():
    assert read([" ", "\n\n"]) == ("", "", [])


def test_what_may_begin_a_marker_is_held_back_until_it_is_known():
    assert shown(["a <thi", "s> ", "b <tool", "_box>"]) == ["a ", "<this> ", "b ", "<tool_box>", ""]


def test_what_was_held_back_is_shown_at_the_end():
    assert shown(["a <think"]) == ["a ", "<think"]


def test_an_indented_answer_keeps_its_indent_though_a_marker_might_have_begun():
    assert read(["  <", "b>bold</b>"]) == ("  <b>bold</b>", "", [])


def test_the_end_of_a_marker_is_found_in_a_piece_before_the_piece_is_taken():
    reader = AnswerReader(MARKERS, calls=True, thinking=True)
    reader.feed("Hm.</thi")
    assert reader.marker_in("nk") is None
    assert reader.marker_in("nk>\n\nThe") == (3, "text")
    assert reader.feed("nk>\n\nThe").text == "The"
    assert reader.marker_in(" <tool_call>\n{") == (12, "call")


def test_a_reader_says_what_a_free_text_would_begin_with():
    reader = AnswerReader(Markers(THINK), calls=True, thinking=False)
    assert reader.would_begin_with("{", '\n{"a"')
    assert not reader.would_begin_with("{", "a {")
    reader.feed("<think>Hm. {")
    assert not reader.would_begin_with("{", "{")
    reader.feed("</think>\n")
    assert reader.would_begin_with("{", "{")
    reader.feed("So ")
    assert not reader.would_begin_with("{", "{")


FRAGMENTS = (
    *("<think>", "</think>", "<tool_call>", CALL, "<thi", "</", "<tool_", "<", "call>"),
    *(" ", "\n", "sea", "a", "狗"),
)


@given(
    answer=st.lists(st.sampled_from(FRAGMENTS), max_size=8).map("".join),
    cuts=st.lists(st.integers(0, 80), max_size=8),
    calls=st.booleans(),
    thinking=st.booleans(),
)
@example(answer="  <b", cuts=[3], calls=True, thinking=False)
def test_the_result_does_not_depend_on_how_the_text_is_cut(answer, cuts, calls, thinking):
    places = sorted({min(cut, len(answer)) for cut in cuts} | {0, len(answer)})
    pieces = [answer[start:end] for start, end in pairwise(places)]
    whole = read([answer], calls=calls, thinking=thinking)
    assert read(pieces, calls=calls, thinking=thinking) == whole
    assert read(list(answer), calls=calls, thinking=thinking) == whole


@given(st.text(alphabet="a <>\n狗", max_size=20).filter(str.strip))
def test_what_no_marker_stands_in_is_text_as_it_is(answer):
    assert read(list(answer)) == (answer, "", [])


WORDS = st.text(alphabet='ab {}"狗', min_size=1, max_size=6).map(str.strip).filter(bool)
GAP = st.text(alphabet=" \n", max_size=2)
JSON = st.recursive(st.none() | st.booleans() | st.integers() | WORDS, lambda inner: st.lists(inner, max_size=2))
OTHERS = Markers(ThinkingFormat("[THINK]", "[/THINK]"), CallFormat("[CALL]", "[/CALL]", between=","))


@pytest.mark.parametrize("markers", [MARKERS, OTHERS])
@given(
    parts=st.lists(
        st.tuples(st.just("text"), WORDS)
        | st.tuples(st.just("thinking"), WORDS)
        | st.tuples(st.just("call"), WORDS, st.dictionaries(WORDS, JSON, max_size=2)),
        max_size=6,
    ),
    gap=GAP,
)
def test_an_answer_made_of_parts_is_read_as_its_parts(markers, parts, gap):
    reader = AnswerReader(markers, calls=True, thinking=False)
    text, thinking, calls, found = "", "", [], []
    for kind, *values in parts:
        if kind == "text":
            found += map(reader.feed, values[0])
            text += values[0]
        elif kind == "thinking":
            found += map(reader.feed, f"{markers.thinking.begin}{gap}{values[0]}{markers.thinking.end}{gap}")
            thinking += values[0]
        else:
            content = json.dumps({"name": values[0], "arguments": values[1]})
            found += map(reader.feed, f"{markers.call.begin}{gap}{content}{gap}{markers.call.end}")
            reader.enter("text")
            calls.append((values[0], values[1]))
    found.append(reader.finish())
    assert "".join(piece.text for piece in found) == text
    assert "".join(piece.thinking for piece in found) == thinking
    assert [(call.name, json.loads(call.arguments)) for piece in found for call in piece.calls] == calls
