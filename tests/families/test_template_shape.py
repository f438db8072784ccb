"""What a template takes is read from its syntax tree. The templates of `test_renderings.py` are checked as well."""

from __future__ import annotations

import pytest

from olpipe.families.chat_template import ChatTemplate
from olpipe.families.template_shape import TemplateShape

TEXTS = TemplateShape()
PARTS = TemplateShape(takes_texts=False, takes_parts=True)
BOTH = TemplateShape(takes_texts=True, takes_parts=True)


def each(body):
    return "{% for message in messages %}" + body + "{% endfor %}"


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        ("{{ message.content }}", TEXTS),
        ("{{ message['content'] | trim }}", TEXTS),
        ("{{ message.content.split('</think>')[-1] }}", TEXTS),
        ("{% for line in message.content.split('\n') %}{{ line }}{% endfor %}", TEXTS),
        ("{% set content = message.content %}{% for line in content.splitlines() %}{% endfor %}", TEXTS),
        ("{{ message.content[0] }}", TEXTS),
        ("{% for call in message.tool_calls %}{{ call.content }}{% endfor %}", TEXTS),
        ("{% if message.content is string %}{{ message.content }}{% endif %}", TEXTS),
        ("{% for part in message.content %}{{ part.text }}{% endfor %}", PARTS),
        ("{% for part in message['content'] %}{{ part['text'] }}{% endfor %}", PARTS),
        ("{% for part in message.get('content') %}{{ part.text }}{% endfor %}", PARTS),
        ("{% for part in (message.content or []) %}{{ part.text }}{% endfor %}", PARTS),
        ("{% for part in message.content | list %}{{ part.text }}{% endfor %}", PARTS),
        ("{% set said = message.content %}{% set it = said %}{% for part in it %}{% endfor %}", PARTS),
        ("{{ message['content'][0]['text'] }}", PARTS),
        ("{{ message.content[0].type }}", PARTS),
        ("{{ message.content | selectattr('type', 'equalto', 'text') | list }}", PARTS),
        ("{% if message.name is string %}{% endif %}{% for part in message.content %}{% endfor %}", PARTS),
        ("{% if message.content is not string %}{% for p in message.content %}{% endfor %}{% endif %}", BOTH),
        ("{% macro say(said) %}{% if said is string %}{% endif %}{% for p in said %}{% endfor %}{% endmacro %}", TEXTS),
        (
            "{% macro say(said) %}{% if said is string %}{% endif %}{% for p in said %}{% endfor %}{% endmacro %}"
            "{{ say(message.content) }}",
            BOTH,
        ),
        ("{% macro say(a, b=1) %}{% for p in b %}{% endfor %}{% endmacro %}{{ say(1, b=message.content) }}", PARTS),
    ],
)
def test_content_is_taken_as_a_text_as_parts_or_as_either(body, shape):
    assert ChatTemplate(each(body)).shape == shape


@pytest.mark.parametrize(
    ("body", "joins"),
    [
        ("{{ '```' + call.function.arguments + '```' }}", True),
        ("{{ call['function']['arguments'] + '```' }}", True),
        ("{{ call.arguments | tojson + '```' }}", False),
        ("{{ '```' ~ call.arguments }}", False),
        ("{{ call.arguments }}", False),
    ],
)
def test_arguments_that_are_added_to_a_text_have_to_be_a_text(body, joins):
    assert ChatTemplate("{% set call = {} %}" + body).shape.joins_arguments is joins


@pytest.mark.parametrize(
    ("shape", "without_images", "with_images"), [(TEXTS, False, False), (BOTH, False, True), (PARTS, True, True)]
)
def test_who_takes_both_gets_parts_only_where_there_are_images(shape, without_images, with_images):
    assert shape.wants_parts(images=False) is without_images
    assert shape.wants_parts(images=True) is with_images
