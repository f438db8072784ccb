"""Templates in Go's language write what Go itself makes of them.

`go_templates/record.go` recorded that: `language.json` has small templates, each with what it writes of `data.json` or
how it fails, and `renderings.json` has what the templates of the folder make of conversations.
"""

import json
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe.errors import ModelCorrupt, UsageError
from olpipe.families.go_template.functions import NAMES, functions
from olpipe.families.go_template.interpreter import MOST_CALLS, MOST_STEPS, Forbidden, run
from olpipe.families.go_template.lexer import Invalid
from olpipe.families.go_template.parser import MOST_DEPTH, parse
from olpipe.families.go_template.template import GoTemplate
from olpipe.families.go_template.values import Failed

FOLDER = Path(__file__).parent / "go_templates"
LANGUAGE = json.loads((FOLDER / "language.json").read_text(encoding="utf-8"))
DATA = json.loads((FOLDER / "data.json").read_text(encoding="utf-8"))
CONVERSATIONS = json.loads((FOLDER / "conversations.json").read_text(encoding="utf-8"))
RENDERINGS = json.loads((FOLDER / "renderings.json").read_text(encoding="utf-8"))
NOW = datetime(2026, 11, 26, 15, 4, 5)
HELLO = [{"role": "user", "content": "Hello!"}]


@pytest.mark.parametrize("row", LANGUAGE, ids=[row["template"][:50] for row in LANGUAGE])
def test_small_templates_write_what_go_writes(row):
    try:
        tree = parse(row["template"], NAMES)
        written = run(tree, tree.root, DATA, functions(lambda: NOW))
    except (Invalid, Failed):
        assert row.get("fails") in ("parse", "run")
        return
    assert (written, row.get("fails")) == (row["writes"], None)


@pytest.mark.parametrize("name", RENDERINGS)
@pytest.mark.parametrize("title", CONVERSATIONS)
def test_conversations_are_rendered_as_by_ollama(name, title):
    template = GoTemplate((FOLDER / f"{name}.gotmpl").read_text(encoding="utf-8"), now=lambda: NOW)
    conversation = CONVERSATIONS[title]
    think = {None: None, True: "on", False: "off"}.get(conversation.get("think"), conversation.get("think"))
    rendered = template.render(_turns(conversation), tools=_tools(conversation), think=think)
    assert rendered == RENDERINGS[name][title]


def test_every_template_and_conversation_was_recorded():
    assert set(RENDERINGS) == {path.stem for path in FOLDER.glob("*.gotmpl")}
    assert all(set(titles) == set(CONVERSATIONS) for titles in RENDERINGS.values())


def test_a_rendering_for_a_reader_who_trusts_no_recording():
    template = GoTemplate("{{ if .System }}<s>{{ .System }}</s>{{ end }}<u>{{ .Prompt }}</u><a>{{ .Response }}</a>")
    turns = [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "1"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "3"},
    ]
    assert template.render(turns) == "<s>S</s><u>1</u><a>2</a><u>3</u><a>"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("\n\n{{ if .Prompt }}", "`{{ if }}` has no `{{ end }}` (line 3)"),
        ("{{ .Prompt", "an action has no end `}}` (line 1)"),
        ("{{ unknown .Prompt }}", "there is no function `unknown` (line 1)"),
        ("{{ $x }}", "there is no variable `$x` (line 1)"),
        ("a\n{{ .Prompt ; }}", "`;` has no meaning here (line 2)"),
        ("{{ end }}", "`{{ end }}` ends nothing (line 1)"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", f"it has more than {MOST_DEPTH} blocks in each other"),
        ("{{ if .Prompt }}" * 5000, f"it has more than {MOST_DEPTH} blocks in each other"),
        ("x" * (1 << 21), "it has more than 1,048,576 characters"),
    ],
)
def test_what_is_no_template_is_refused_with_its_line(source, reason):
    with pytest.raises(ModelCorrupt) as caught:
        GoTemplate(source)
    assert caught.value.message.startswith("the model's chat template is not valid: ")
    assert reason in caught.value.message


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ range .Messages }}\n{{ .Nothing }}{{ end }}", "a message has no field `Nothing` (line 2)"),
        ("{{ index .Messages 7 }}", "index out of range: 7 (line 1)"),
        ("{{ .Messages.x }}", "type []interface {} has no field `x` (line 1)"),
        ('{{ .Messages }}{{ template "none" }}', "there is no template `none` (line 1)"),
    ],
)
def test_a_template_that_fails_says_why(source, reason):
    with pytest.raises(UsageError) as caught:
        GoTemplate(source).render(HELLO)
    assert caught.value.message == f"the model's chat template fails on this conversation: {reason}"


LOOP = "{{ range 9999 }}{{ range 9999 }}"
DOUBLING = '{{ $x := printf "%1000s" .Prompt }}{{ range 60 }}{{ $x = printf "%s%s" $x $x }}'


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (LOOP + "{{ end }}{{ end }}", f"it takes more than {MOST_STEPS:,} steps"),
        ("{{ range 99999999999 }}{{ end }}", f"it takes more than {MOST_STEPS:,} steps"),
        (DOUBLING + "{{ end }}", "its functions make texts that are far too long"),
        (DOUBLING.replace("60", "14") + "{{ $x }}{{ $x }}{{ $x }}{{ end }}", "it writes more than 67,108,864 chara"),
        ('{{ define "a" }}{{ template "a" }}{{ end }}{{ template "a" }}', f"each other more than {MOST_CALLS} deep"),
    ],
)  # fmt: skip
def test_a_template_that_never_ends_or_grows_is_stopped(source, reason):
    with pytest.raises(ModelCorrupt) as caught:
        GoTemplate(source).render(HELLO)
    assert caught.value.message.startswith("the model's chat template does something forbidden: ")
    assert reason in caught.value.message


PARTS = st.sampled_from(
    ["{{", "}}", "{{-", "-}}", " ", ".", ".Messages", "$", "$x", ":=", "=", "|", "(", ")", ",", "if", "else", "end",
     "range", "with", "define", "template", "block", "break", '"a"', "`", "'b'", "1", "-2.5e3", "len", "slice", "index",
     "printf", "eq", "and", "nil", "true", "/*", "*/", "\n", "x", "\\"]
)  # fmt: skip


@given(st.lists(PARTS, max_size=25))
def test_any_text_is_a_template_or_an_error(parts):
    try:
        tree = parse("".join(parts), NAMES)
        run(tree, tree.root, {"Messages": ["a"]}, functions(lambda: NOW))
    except (Invalid, Failed, Forbidden):
        pass


def _turns(conversation):
    return [_turn(turn) for turn in conversation["messages"]]


def _turn(turn):
    made = {key: turn[key] for key in ("role", "content", "thinking") if key in turn}
    if "tool_name" in turn:
        made["name"] = turn["tool_name"]
    if "tool_calls" in turn:
        made["tool_calls"] = [{"id": "", "function": call} for call in turn["tool_calls"]]
    return made


def _tools(conversation):
    return [{"type": "function", "function": tool} for tool in conversation.get("tools", ())]
