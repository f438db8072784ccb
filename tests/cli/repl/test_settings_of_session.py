"""`/set`: how a session asks and shows."""

import json
import re

import pytest

from tests.cli.repl.conftest import TEXTS

pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")

SYSTEM = "You are a pirate who talks much"
LINES_OF_OLLAMA = (
    "total duration", "load duration", "prompt eval count", "prompt eval duration",
    "prompt eval rate", "eval count", "eval duration", "eval rate",
)  # fmt: skip


@pytest.fixture(scope="module")
def thinker(start):
    with start("thinker") as typist:
        yield typist


def test_a_parameter_is_set_and_shown_and_used(start):
    with start("blind") as typist:
        assert typist.enter("/set parameter num_predict 2") == "Set parameter 'num_predict' to '2'\n"
        assert typist.enter("one two three") == "one two\n\n"
        assert typist.enter('/set parameter stop "two three" x') == "Set parameter 'stop' to 'two three, x'\n"
        said = typist.enter("/show parameters")
        assert re.findall(r"^  (\w+) +(.*)$", said.partition("User defined parameters:")[2], re.MULTILINE) == [
            ("num_predict", "2"),
            ("stop", "two three"),
            ("stop", "x"),
        ]
        typist.enter("/set parameter num_predict -1")
        assert typist.enter("one two three") == "one\n\n"


def test_a_context_is_honoured_or_refused_with_the_limit_of_the_model(talk):
    assert talk.enter("/clear") == "Cleared session context\n"
    assert talk.enter("/set parameter num_ctx 3") == "Set parameter 'num_ctx' to '3'\n"
    assert talk.enter("these are four words").startswith("error: the prompt takes 4 tokens, the model 3")
    assert talk.enter("three words now") == "three words now\n\n"
    said = talk.enter("/set parameter num_ctx 131072")
    assert said == "error: Couldn't set parameter: \"num_ctx cannot be 131072: 'echo' holds 4096 tokens\"\n"
    talk.enter("/set parameter num_ctx 4096")
    assert talk.enter("and on it goes") == "and on it goes\n\n"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("num_ctx x", 'Couldn\'t set parameter: "invalid int value [x]"'),
        ("top_k 1.5", 'Couldn\'t set parameter: "invalid int value [1.5]"'),
        ("temperature warm", 'Couldn\'t set parameter: "invalid float value [warm]"'),
        ("temperature nan", 'Couldn\'t set parameter: "temperature cannot be nan: it must be between 0 and 100"'),
        ("wisdom 3", "Couldn't set parameter: \"unknown parameter 'wisdom'\""),
    ],
)
def test_a_parameter_that_cannot_be_is_told(talk, given, said):
    assert talk.enter(f"/set parameter {given}") == f"error: {said}\n"


def test_a_misspelt_parameter_gets_an_offer_and_one_without_effect_a_note(talk):
    assert talk.enter("/set parameter temprature 0").endswith("hint: did you mean `temperature`?\n")
    assert talk.enter("/set parameter num_gpu 3").endswith("note: `num_gpu` changes nothing here\n")
    assert "/set parameter top_k <int>" in talk.enter("/set parameter")


def test_the_system_message_is_set_shown_and_sent(start):
    with start("full", "--verbose") as typist:
        before = count(typist.enter("hello you"))
        assert typist.enter("/show system") == "Be brief.\n\n"
        assert typist.enter(f"/set system {SYSTEM}") == "Set system message.\n"
        assert typist.enter("/show system") == f"{SYSTEM}\n\n"
        words, answer = len(SYSTEM.split()), len(["hello", "you"])
        assert count(typist.enter("hello you")) == before - len(TEXTS["system"].split()) + words + 2 * answer
        typist.enter('/set system """Two')
        assert typist.enter('lines"""') == "Set system message.\n"
        assert typist.enter("/show system") == "Two\nlines\n\n"
        typist.enter('/set system ""')
        assert typist.enter("/show system") == "Be brief.\n\n"


def count(said):
    """Return how many tokens the prompt of an answer had."""
    return int(re.search(r"^prompt eval count: +(\d+) ", said, re.MULTILINE)[1])


def test_answers_are_held_to_json_or_to_a_schema(talk, tmp_path):
    assert talk.enter("/set format json") == "Set format to 'json' mode.\n"
    assert isinstance(json.loads(talk.enter("what is it?")), dict)
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object", "properties": {"n": {"const": 7}}, "required": ["n"]}')
    assert talk.enter(f"/set format {schema}") == "Set format to a JSON schema.\n"
    assert json.loads(talk.enter("what is it?")) == {"n": 7}
    assert talk.enter("/set noformat") == "Disabled format.\n"
    assert talk.enter("what is it?") == "what is it?\n\n"


@pytest.mark.parametrize("given", ["", " yaml"])
def test_a_format_that_is_none_is_told(talk, given):
    said = talk.enter(f"/set format{given}")
    assert "Invalid or missing format. For 'json' mode use '/set format json'\n" in said
    assert talk.enter("what is it?") == "what is it?\n\n"


def test_statistics_follow_an_answer_where_they_are_wished_for(talk):
    assert talk.enter("/set verbose") == "Set 'verbose' mode.\n"
    said = talk.enter("hello you")
    rows = dict(line.split(":", 1) for line in said.splitlines()[2:])
    assert list(rows)[:8] == list(LINES_OF_OLLAMA)
    assert rows["eval count"].strip() == "2 token(s): 2 sampled, 0 forced"
    assert talk.enter("/set quiet") == "Set 'quiet' mode.\n"
    assert talk.enter("hello you") == "hello you\n\n"


def test_thoughts_are_framed_and_grey(thinker):
    raw = thinker.enter_raw("hello you")
    assert "\x1b[90mHm.\x1b[0m" in raw
    assert thinker.enter("hello you") == "Thinking...\nHm.\n...done thinking.\n\nhello you\n\n"


def test_thinking_can_be_switched_off_and_on(thinker):
    assert thinker.enter("/set nothink") == "Set 'nothink' mode.\n"
    assert thinker.enter("hello you") == "hello you\n\n"
    assert thinker.enter("/set think high") == "Set 'think' mode to 'high'.\n"
    assert thinker.enter("hello you").startswith("Thinking...\n")
    assert "there is no level `very` of thinking" in thinker.enter("/set think very")
    assert thinker.enter("/set think") == "Set 'think' mode.\n"


def test_a_model_that_does_not_think_is_not_made_to(talk):
    assert talk.enter("/set think").startswith("error: 'echo' does not support thinking\n")
    assert talk.enter("hello you") == "hello you\n\n"


def test_a_level_of_thinking_for_a_model_that_does_not_think_is_a_note(start):
    with start("echo", "--think=high", ready=False) as typist:
        assert typist.wait().endswith("note: 'echo' does not support thinking\n")
        assert typist.enter("hello you") == "hello you\n\n"


def test_image_tokens_are_for_models_that_see(start):
    with start("blind") as typist:
        typist.enter("/set parameter image_tokens 5")
        assert "hint: take it back: `/set parameter image_tokens 0`" in typist.enter("hello you")
        typist.enter("/set parameter image_tokens 0")
        assert typist.enter("hello you") == "hello you\n\n"


def test_thoughts_can_be_hidden(start):
    with start("thinker", "--hidethinking") as typist:
        assert typist.enter("hello you") == "hello you\n\n"
    with start("thinker", "--think=false") as typist:
        assert typist.enter("hello you") == "hello you\n\n"


def test_settings_of_the_command_line_hold_in_the_session(start):
    with start("echo", "--max-tokens", "2", "--format", "json", "--nowordwrap") as typist:
        assert "num_predict                    2" in typist.enter("/show parameters")
        assert isinstance(json.loads(typist.enter("one two three")), dict)
        typist.enter("/set noformat")
        assert typist.enter("one two three") == "one two\n\n"
