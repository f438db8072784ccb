"""Chat templates tell how their models mark thinking and tool calls.

The templates were written for these tests. Each writes calls as models of one family do.
"""

from __future__ import annotations

import json

import pytest

from olpipe.decoding.reading import CallFormat, CallReader, Markers, ThinkingFormat
from olpipe.families.chat_template import ChatTemplate
from olpipe.families.markers import abilities, markers_of
from olpipe.families.tool_quirks import with_tools
from olpipe.families.turns import described, turns_of
from olpipe.generation import Tool
from olpipe.messages import Message, TextPart, ToolCallPart

THINK = ThinkingFormat("<think>", "</think>", after_begin="\n", after_end="\n\n")
HERMES = CallFormat("<tool_call>", "</tool_call>", before="\n", after="\n", gap="\n")

QWEN = """\
{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}
{%- for call in message.tool_calls or [] %}
{{- '\\n<tool_call>\\n{"name": "' }}{{ call.function.name }}
{{- '", "arguments": ' }}{{ call.function.arguments | tojson }}{{- '}\\n</tool_call>' }}
{%- endfor %}<|im_end|>
{% endfor %}"""
MISTRAL = """\
{% for message in messages %}{{ message.content }}
{%- if message.tool_calls %}{{ '[TOOL_CALLS][' }}
{%- for call in message.tool_calls %}
{{- '{"name": "' + call.function.name + '", "arguments": ' + call.function.arguments | tojson }}
{{- ', "id": "123456789"}' }}
{{- '' if loop.last else ', ' }}
{%- endfor %}]{% endif %}{% endfor %}"""
NEW_MISTRAL = """\
{% for message in messages %}{{ message.content }}
{%- for call in message.tool_calls or [] %}
{{- '[TOOL_CALLS]' + call.function.name + '[ARGS]' + call.function.arguments | tojson }}
{%- endfor %}{% endfor %}"""
LLAMA = """\
{% if tools %}Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}.
{% endif %}
{%- for message in messages %}{{ message.content }}
{%- for call in message.tool_calls or [] %}
{{- '{"name": "' + call.function.name + '", ' }}{{- '"parameters": ' }}{{- call.function.arguments | tojson }}{{- "}" }}
{%- endfor %}{% endfor %}"""
PHI = """\
{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}
{%- if message['role'] == 'system' and message['tools'] %}<|tool|>{{ message['tools'] }}<|/tool|>{% endif %}<|end|>
{%- endfor %}"""
PHI_ONE_BY_ONE = """\
{% for message in messages %}{{ message.content }}
{%- for call in message.tool_calls or [] %}
{{- '<|tool_call|>{"name": "' + call.function.name + '", "arguments": ' + call.function.arguments | tojson }}
{{- '}<|/tool_call|>' }}
{%- endfor %}{% endfor %}"""
NEMOTRON = """\
{% for message in messages %}{{ message.content }}
{%- if message.tool_calls %}{{ '<TOOLCALL>[' }}
{%- for call in message.tool_calls %}
{{- '{"name": "' + call.function.name + '", "arguments": ' + call.function.arguments | tojson + '}' }}
{{- '' if loop.last else ', ' }}
{%- endfor %}]</TOOLCALL>{% endif %}{% endfor %}"""
GRANITE = """\
{% if tools %}To use a tool, respond with <|tool_call|> followed by a JSON list of tools used.{% endif %}
{%- for message in messages %}{{ message.content }}{% endfor %}"""
IN_WORDS = r'{{ "<tool_call>\n{\"name\": <name>, \"arguments\": <object>}\n</tool_call>" }}'
XML = r"{{ '<tool_call>\n<function=' + call.name + '>' }}{% for name in call.arguments %}{% endfor %}</tool_call>"
LISTED = {"before": "[", "between": ", ", "after": "]"}


@pytest.mark.parametrize(
    ("template", "format_"),
    [
        (QWEN, HERMES),
        ("Write calls within <tool_call></tool_call> tags. " + QWEN, HERMES),
        (IN_WORDS, HERMES),
        (MISTRAL, CallFormat("[TOOL_CALLS]", **LISTED)),
        (MISTRAL.replace("[TOOL_CALLS]", "[TOOL_CALLS] "), CallFormat("[TOOL_CALLS]", **LISTED | {"before": " ["})),
        (NEW_MISTRAL, CallFormat("[TOOL_CALLS]", around_name=("", "[ARGS]", ""))),
        (LLAMA, CallFormat("", arguments_key="parameters", tag="<|python_tag|>")),
        (PHI, CallFormat("<|tool_call|>", "<|/tool_call|>", **LISTED)),
        (PHI_ONE_BY_ONE, CallFormat("<|tool_call|>", "<|/tool_call|>")),
        (NEMOTRON, CallFormat("<TOOLCALL>", "</TOOLCALL>", **LISTED)),
        (NEMOTRON.replace("TOOLCALL", "tool_calls"), CallFormat("<tool_calls>", "</tool_calls>", **LISTED)),
        (
            r"{{ 'Lists within <tool_calls>\n- name\n</tool_calls>' }}" + NEMOTRON.replace("TOOLCALL", "tool_calls"),
            CallFormat("<tool_calls>", "</tool_calls>", **LISTED),
        ),
        (GRANITE, CallFormat("<|tool_call|>", **LISTED)),
    ],
)
def test_a_template_tells_how_its_model_writes_calls(template, format_):
    assert markers_of(template) == Markers(call=format_)
    assert abilities(template) == ("tools",)


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages[0].content }}",
        XML,
        "<tool_call>{{ name }}<arg_key>{{ key }}</arg_key></tool_call>",
        "I like <tool_call> as a word.",
        "{{ '<|tool_call>call:' + name + '{' }}{% for key in arguments %}{{ key }}{% endfor %}}<tool_call|>",
        "{% if tools %}{{ tools | tojson }}{% endif %}{{ messages[0].content }}",
    ],
)
def test_what_is_no_call_as_json_is_not_taken_for_one(template):
    assert markers_of(template) == Markers()
    assert abilities(template) == ()


@pytest.mark.parametrize(
    ("template", "thinking"),
    [
        ("{{ content.split('</think>')[-1] }}", THINK),
        ("{{ '[THINK]' + thought + '[/THINK]' }}", ThinkingFormat("[THINK]", "[/THINK]")),
        (
            r"{{ '<|channel>thought\n' + thought + '<channel|>' }}",
            ThinkingFormat("<|channel>thought", "<channel|>", after_begin="\n"),
        ),
        ("{% set end = '</seed:think>' %}", ThinkingFormat("<seed:think>", "</seed:think>")),
    ],
)
def test_a_template_tells_how_its_model_marks_thinking(template, thinking):
    assert markers_of(template) == Markers(thinking)
    assert abilities(template) == ("thinking",)


def test_a_model_may_do_both_and_have_a_template_of_its_own_for_tools():
    assert markers_of(QWEN + "</think>") == markers_of("</think>", QWEN) == Markers(THINK, HERMES)
    assert abilities("</think>", QWEN) == ("tools", "thinking")
    assert abilities("</think>", "") == ("thinking",)


CALLS = (ToolCallPart("call_00000001", "look", '{"at":"the {sea}"}'), ToolCallPart("call_00000002", "now", "{}"))


@pytest.mark.parametrize("source", [QWEN, MISTRAL, NEW_MISTRAL, LLAMA, PHI, PHI_ONE_BY_ONE, NEMOTRON])
def test_calls_that_a_template_writes_are_read_as_the_same_calls(source):
    template = ChatTemplate(source)
    format_ = markers_of(source).call
    messages = [Message.of("user", "Hm?"), Message("assistant", (TextPart("I look."), *CALLS))]
    turns = turns_of(messages, template.shape, str)
    if source is PHI:
        turns = with_tools(turns, [], format_)
    written = template.render(turns).partition("I look.")[2]
    behind = written.partition(format_.begin)[2] if format_.begin else written
    read = [(call.name, call.arguments) for call in CallReader(format_).feed(behind)]
    assert read == [(call.name, call.arguments) for call in CALLS]


def test_tools_stand_in_the_system_message_where_a_template_looks_for_them_there():
    template = ChatTemplate(PHI)
    tool = described(Tool("look", "Look.", '{"type":"object"}'), str)
    format_ = markers_of(PHI).call
    turns = turns_of([Message.of("user", "Hm?")], template.shape, str)
    text = template.render(with_tools(turns, [tool], format_))
    assert json.loads(text.partition("<|tool|>")[2].partition("<|/tool|>")[0]) == [tool["function"]]
    assert text.startswith("<|system|>You are a helpful assistant with some tools.<|tool|>")
    turns = turns_of([Message.of("system", "Be brief."), Message.of("user", "Hm?")], template.shape, str)
    assert template.render(with_tools(turns, [tool], format_)).startswith("<|system|>Be brief.<|tool|>[{")
    assert "<|tool|>" not in template.render(with_tools(turns, [], format_))
