from __future__ import annotations

import pytest

from olpipe.decoding.reading import Markers
from olpipe.families.markers import markers_of

THINK, CALL = ("<think>", "</think>"), ("<tool_call>", "</tool_call>")
HERMES = r"""{{- '<tool_call>\n{"name": "' }}{{ call.name }}{{- '", "arguments": ' }}{{ call.arguments | tojson }}}
</tool_call>"""
IN_WORDS = r'{{ "<tool_call>\n{\"name\": <name>, \"arguments\": <object>}\n</tool_call>" }}'
XML = r"{{ '<tool_call>\n<function=' + call.name + '>' }}{% for name in call.arguments %}{% endfor %}</tool_call>"


@pytest.mark.parametrize(
    ("template", "markers"),
    [
        ("{{ messages[0].content }}", Markers()),
        ("{{ content.split('</think>')[-1] }}", Markers(thinking=THINK)),
        ("{{ '[THINK]' + thought + '[/THINK]' }}", Markers(thinking=("[THINK]", "[/THINK]"))),
        (HERMES, Markers(call=CALL)),
        (IN_WORDS, Markers(call=CALL)),
        (HERMES + "</think>", Markers(THINK, CALL)),
        (XML, Markers()),
        ("<tool_call>{{ name }}<arg_key>{{ key }}</arg_key></tool_call>", Markers()),
        ("I like <tool_call> as a word.", Markers()),
    ],
)
def test_a_template_tells_how_its_model_marks_thinking_and_calls(template, markers):
    assert markers_of(template) == markers


def test_a_template_of_its_own_for_tools_tells_as_well():
    assert markers_of("{{ messages }}", HERMES) == Markers(call=CALL)
    assert markers_of("</think>", "") == Markers(thinking=THINK)
