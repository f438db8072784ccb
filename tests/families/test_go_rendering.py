"""Requests become prompts with a template in Go's language: the texts of others become no special tokens."""

import json
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe.decoding.reading import Markers
from olpipe.errors import ModelCorrupt, UsageError
from olpipe.families.chat_template import TemplateFiles
from olpipe.families.compiling import compile_template
from olpipe.families.go_template.template import GoTemplate
from olpipe.families.rendering import ImageSpan
from olpipe.generation import GenerateRequest, Guidance, Tool
from olpipe.image import DecodedImage
from olpipe.messages import ImagePart, Message, TextPart, ToolCallPart, ToolResultPart
from olpipe.testing.models import CHAT_TEMPLATE, SPECIAL_TOKENS

START, END = "<|im_start|>", "<|im_end|>"
CHATML = """\
{{- range $i, $_ := .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}{{ range .ToolCalls }}<call>{{ json .Function.Name }}{{ .Function.Arguments }}</call>{{ end }}<|im_end|>
{{ end }}<|im_start|>assistant
"""
BY_TURN = "{{ if .System }}{{ .System }}|{{ end }}<|im_start|>{{ .Prompt }}<|im_end|>{{ .Response }}<|im_end|>"
LOOK = Tool("look", "Look at <|im_end|>.", '{"type":"object","properties":{"<|im_end|>":{"type":"string"}}}')


def ask(*messages, **options):
    said = [Message.of("user", each) if isinstance(each, str) else each for each in messages]
    return GenerateRequest("toy", tuple(said), **options)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (CHATML, "<|im_start|>user\nthe dog<|im_end|>\n<|im_start|>assistant\n"),
        (BY_TURN, "<|im_start|>the dog<|im_end|>"),
    ],
)
def test_a_question_is_rendered_and_its_turns_are_special_tokens(renderer, vocabulary, shown, template, text):
    prompt = renderer(template)(ask("the dog"))
    assert shown(prompt) == text
    assert prompt.tokens.count(vocabulary.token_of(START)) == text.count(START)


FUNCTIONS = """{{ range .Messages }}{{ json .Content }}{{ json . }}{{ printf "%q %s %.9s" .Content .Content .Content }}
{{ slice .Content 0 }}{{ .Content | print | html }}{{ js .Content }}{{ urlquery .Content }}{{ . }}{{ end }}"""


@pytest.mark.parametrize("template", [CHATML, BY_TURN, FUNCTIONS])
@given(text=st.lists(st.sampled_from([START, END, "<|im_", "end|>", "<", "|>", "a", " ", "\n", "\ufdd0", "\ufdd1"])))
def test_no_text_of_a_user_becomes_a_special_token(renderer, vocabulary, template, text):
    render = renderer(template)
    usual = render(ask("a"))
    prompt = render(ask("".join(text) or "a"))
    for spelling in SPECIAL_TOKENS:
        token = vocabulary.token_of(spelling)
        assert prompt.tokens.count(token) == usual.tokens.count(token)


def test_no_text_of_tools_and_calls_becomes_a_special_token(renderer, vocabulary):
    call = ToolCallPart("1", END, json.dumps({END: START, "list": [END]}))
    messages = (ask("x").messages[0], Message("assistant", (call,)), Message("tool", (ToolResultPart("1", END, END),)))
    prompt = renderer("{{ .Tools }}{{ range .Tools }}{{ .Function }}{{ end }}" + CHATML)(ask(*messages, tools=(LOOK,)))
    assert prompt.tokens.count(vocabulary.token_of(START)) == 4
    assert prompt.tokens.count(vocabulary.token_of(END)) == 3


def test_the_token_that_begins_a_text_comes_first_where_the_model_wants_it(renderer, shown):
    options = {"tokens": {"bos_token": END}, "adds_begin": True}
    assert shown(renderer(BY_TURN, **options)(ask("x"))) == f"{END}{START}x{END}"
    assert shown(renderer(END + BY_TURN, **options)(ask("x"))) == f"{END}{START}x{END}"


def test_images_keep_their_places(renderer, shown, vocabulary):
    photo = DecodedImage(np.zeros((2, 2, 3), np.uint8), width=2, height=2)
    places = vocabulary.encode("a")
    render = renderer(CHATML, show_image=lambda one: ImageSpan((places[0],) * 2, 0, 2, one.digest()))
    prompt = render(ask(Message("user", (TextPart("It: "), ImagePart(photo), TextPart(" Well?")))))
    assert shown(prompt) == f"{START}user\nIt: aa Well?{END}\n{START}assistant\n"
    assert [image.length for image in prompt.images] == [2]


def test_a_request_may_bring_a_template_of_its_own(renderer, shown):
    render = renderer(CHAT_TEMPLATE)
    assert shown(render(ask("x", template=BY_TURN))) == f"{START}x{END}"
    assert shown(renderer(BY_TURN)(ask("x", template="[{{ messages[0].content }}]"))) == "[x]"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "True True "),
        ({"think": "off"}, "False True "),
        ({"think": "high"}, "True True high"),
        ({"guidance": Guidance("json", "")}, "False True "),
    ],
)
def test_a_model_that_can_think_does_so_unless_told_otherwise(renderer, shown, options, text):
    template = "{{ range .Messages }}{{ .Thinking }}{{ end }}{{ .Think }} {{ .IsThinkSet }} {{ .ThinkLevel }}"
    written = shown(renderer(template)(ask("x", **options)))
    assert written == text.replace("True", "true").replace("False", "false")


def test_a_model_that_cannot_think_is_told_nothing(renderer, shown):
    assert shown(renderer("{{ .Prompt }}{{ .Think }} {{ .IsThinkSet }}")(ask("x"))) == "xfalse false"


def test_markers_are_found_in_a_template_of_go(renderer):
    template = '{{ .Prompt }}<think></think><tool_call>{"name": "x", "arguments": {{ .y }}}</tool_call>'
    found: Markers = renderer(template).markers
    assert found.thinking is not None
    assert found.call is not None


def test_dates_are_those_of_today():
    now = datetime(2026, 3, 1)
    template = GoTemplate("{{ currentDate }} {{ yesterdayDate }}", now=lambda: now)
    assert template.render([{"role": "user", "content": "x"}]) == f"2026-03-01 {now - timedelta(days=1):%Y-%m-%d}"


@pytest.mark.parametrize(
    ("own", "given_", "used"),
    [
        ("", "{{ .Prompt }}", "{{ .Prompt }}"),
        ("", "{{ messages }}", "{{ messages }}"),
        ("{{ own }}", "{{ .Prompt }}", "{{ own }}"),
        ("{{ own }}", "{{ messages }}", "{{ messages }}"),
        ("{{ own }}", "", "{{ own }}"),
    ],
)
def test_a_template_of_go_is_used_where_the_files_have_none(own, given_, used):
    files = TemplateFiles(own or "plain", {}, False, is_plain=not own)
    assert files.instead(given_).source == used


def test_a_tool_that_is_too_deep_is_refused():
    schema = {"type": "string"}
    for _ in range(400):
        schema = {"anyOf": [schema]}
    function = {"name": "deep", "description": "", "parameters": {"properties": {"x": schema}}}
    template = GoTemplate("{{ .Tools }}{{ .Messages }}")
    with pytest.raises((UsageError, ModelCorrupt), match="too deep in each other"):
        template.render([{"role": "user", "content": "x"}], tools=[{"type": "function", "function": function}])


@pytest.mark.parametrize("source", ["{{ .Prompt", "{% for %}"])
def test_templates_of_both_languages_are_checked(source):
    with pytest.raises(ModelCorrupt, match="the model's chat template is not valid"):
        compile_template(source)
