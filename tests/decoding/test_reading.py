"""Thinking and tool calls are told from text, however the text arrives."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from olpipe.decoding.reading import AnswerReader, Markers, read_call

MARKERS = Markers(("<think>", "</think>"), ("<tool_call>", "</tool_call>"))
CALL = '<tool_call>{"name":"look","arguments":{"at":"sea"}}</tool_call>'


def read(pieces, *, calls=True, thinking=False, markers=MARKERS):
    """Return text, thinking, and (name, arguments) of every call, once all pieces were fed."""
    reader = AnswerReader(markers, calls=calls, thinking=thinking)
    found = [*(reader.feed(piece) for piece in pieces), reader.finish()]
    made = [call for piece in found for call in piece.calls]
    assert reader.called == bool(made)
    text, thought = ("".join(getattr(piece, part) for piece in found) for part in ("text", "thinking"))
    return text, thought, [(call.name, call.arguments) for call in made]


def shown(pieces, **options):
    """Return the text that each piece made known."""
    reader = AnswerReader(MARKERS, calls=True, thinking=False, **options)
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
    text, _, calls = read(['<tool_call>\n{"name": "look", "arguments": {"z": 1, "a": [true, null]}}\n</tool_call>'])
    assert (text, calls) == ("", [("look", '{"z":1,"a":[true,null]}')])


def test_every_call_has_an_id_of_its_own():
    pieces = AnswerReader(MARKERS, calls=True, thinking=False).feed(CALL + CALL)
    one, other = (call.call_id for call in pieces.calls)
    assert one != other
    assert one.startswith("call_")


def test_text_and_thinking_and_calls_stand_in_one_answer():
    answer = f"<think>Hm.</think>\nI look. {CALL}\n{CALL}\nSoon."
    assert read([answer]) == ("I look. Soon.", "Hm.", [("look", '{"at":"sea"}')] * 2)


def test_where_no_tools_are_offered_the_markers_of_calls_are_text():
    assert read([CALL], calls=False) == (CALL, "", [])


def test_a_model_that_does_not_think_has_no_markers_for_it():
    assert read(["<think>a</think>"], markers=Markers(call=MARKERS.call)) == ("<think>a</think>", "", [])


def test_markers_of_calls_are_thoughts_while_the_model_thinks():
    assert read([f"<think>{CALL}</think>b"]) == ("b", CALL, [])


@pytest.mark.parametrize(
    "inside",
    [
        "",
        "look at the sea",
        '{"name":"look"',
        '["look"]',
        '{"arguments":{}}',
        '{"name":3,"arguments":{}}',
        '{"name":"look","arguments":"sea"}',
        '{"name":"look","arguments":null}',
        '{"name":"look","arguments":{"deep":' + "[" * 300 + "]" * 300 + "}}",
    ],
)
def test_what_is_no_call_stays_text_with_its_markers_and_the_space_behind_them(inside):
    broken = f"I say <tool_call>{inside}</tool_call> so"
    assert read([broken]) == (broken, "", [])


def test_a_call_that_never_ends_is_text():
    assert read(['Well <tool_call>{"name":"look"']) == ('Well <tool_call>{"name":"look"', "", [])


def test_a_call_beside_a_broken_one_is_still_made():
    assert read([f"<tool_call>no</tool_call>{CALL}"]) == ("<tool_call>no</tool_call>", "", [("look", '{"at":"sea"}')])


def test_a_call_may_have_no_arguments_and_may_call_them_parameters():
    assert json.loads(read_call('{"name":"now"}').arguments) == {}
    assert json.loads(read_call('{"name":"look","parameters":{"at":1}}').arguments) == {"at": 1}


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


FRAGMENTS = (
    *("<think>", "</think>", "<tool_call>", "</tool_call>", CALL, "<thi", "</", "<tool_", "<", "call>"),
    *('{"name":"look"}', '{"name":', " ", "\n", "sea", "a", "狗"),
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


@given(
    parts=st.lists(
        st.tuples(st.just("text"), WORDS)
        | st.tuples(st.just("thinking"), WORDS)
        | st.tuples(st.just("call"), WORDS, st.dictionaries(WORDS, JSON, max_size=2)),
        max_size=6,
    ),
    gap=GAP,
)
def test_an_answer_made_of_parts_is_read_as_its_parts(parts, gap):
    answer, text, thinking, calls = "", "", "", []
    for kind, *values in parts:
        if kind == "text":
            answer, text = answer + values[0], text + values[0]
        elif kind == "thinking":
            answer, thinking = f"{answer}<think>{gap}{values[0]}</think>{gap}", thinking + values[0]
        else:
            content = json.dumps({"name": values[0], "arguments": values[1]})
            answer += f"<tool_call>{gap}{content}{gap}</tool_call>{gap}"
            calls.append((values[0], values[1]))
    found = read(list(answer))
    assert (found[0], found[1], [(name, json.loads(arguments)) for name, arguments in found[2]]) == (
        text,
        thinking,
        calls,
    )
