"""Attacks by what an answer is held to, and by templates: schemas, expressions and grammars built to explode."""

import pytest

from tests.server.attacks import GENERATE, answered_or_refused, refused, surviving


@pytest.fixture(autouse=True)
def survives(server):
    """The server survives each attack."""
    with surviving(server):
        yield


# --- schemas, expressions and grammars ------------------------------------------------------------


def nested(depth):
    schema = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


EXPLODING_SCHEMAS = {
    "deep": nested(90),
    "many properties": {"type": "object", "properties": {f"p{number}": {} for number in range(3000)}},
    "many parts": {"anyOf": [{"type": "object", "properties": {"a": {"const": n}}} for n in range(6000)]},
    "alternatives of alternatives": {
        "allOf": [{"anyOf": [{"required": [f"{a}{b}"]} for b in range(20)]} for a in range(20)],
    },
    "endless reference": {"$ref": "#"},
    "references in a circle": {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    "elsewhere": {"$ref": "http://127.0.0.1:9/schema.json"},
    "a file": {"$ref": "file:///etc/passwd"},
    "a long string": {"type": "string", "minLength": 1 << 40},
    "a long list": {"type": "array", "minItems": 1 << 40},
    "a small step": {"type": "number", "multipleOf": 1e-300},
    "nothing": {"type": "string", "enum": []},
    "impossible": {"type": "integer", "minimum": 5, "maximum": 4},
    "many values": {"enum": list(range(20_000))},
    "large": {"type": "object", "description": "x" * (1 << 20)},
    "no type": {"type": "objekt"},
}


@pytest.mark.parametrize("name", EXPLODING_SCHEMAS)
def test_a_schema_that_cannot_be_enforced_is_refused(server, name):
    refused(server, "/api/generate", {**GENERATE, "format": EXPLODING_SCHEMAS[name]})


@pytest.mark.examples(2)
@pytest.mark.parametrize(
    "pattern",
    ["^(((a{0,1000}){0,1000}){0,1000}){0,1000}$", "^(?=a)" + "()" * 50_000, "^(a+)+$", "(x+x+)+y", "(.*)*" * 99],
)
def test_an_expression_in_a_schema_is_refused_or_followed(server, pattern):
    answered_or_refused(server, {"type": "string", "pattern": pattern})


EXPLODING_GRAMMARS = [
    {"type": "regex", "pattern": "((((a{0,1000}){0,1000}){0,1000}){0,1000})b"},
    {"type": "regex", "pattern": "(a|b|ab)*(a|b|ab)*" * 1000},
    {"type": "regex", "pattern": "(" * 5000 + ")" * 5000},
    {"type": "regex", "pattern": "[a-z]{1000000}"},
    {"type": "regex", "pattern": ".*(a.{500}b).*"},
    {"type": "regex", "pattern": "x" * 20_001},
    {"type": "regex", "pattern": "("},
    {"type": "regex", "pattern": "a(?=b)"},
    {"type": "regex", "pattern": "[^\\s\\S]"},
    {"type": "regex"},
    {"type": "lark", "grammar": "start: start"},
    {"type": "lark", "grammar": "start: a\na: b\nb: a"},
    {"type": "lark", "grammar": "start: " + " | ".join(f'"{n}"' for n in range(50_000))},
    {"type": "lark", "grammar": "start: x x x x x x x x\n" + "\n".join(f"x{n}: x{n + 1} x{n + 1}" for n in range(40))},
    {"type": "lark", "grammar": 'start: "a"~1000000'},
    {"type": "lark", "grammar": "start: /((((a{0,1000}){0,1000}){0,1000}){0,1000})b/"},
    {"type": "lark", "grammar": "%import nothing.at.all\nstart: x"},
    {"type": "lark", "grammar": "\0" * 1000},
    {"type": "lark", "grammar": ""},
]


@pytest.mark.examples(6)
@pytest.mark.parametrize("grammar", EXPLODING_GRAMMARS, ids=lambda grammar: str(grammar)[:60])
def test_an_expression_or_grammar_built_to_explode_is_refused_or_followed(server, grammar):
    answered_or_refused(server, grammar)


def test_an_answer_that_cannot_begin_takes_no_room_from_others(server):
    too_large = {"type": "lark", "grammar": 'start: "a"~1000000'}
    for _ in range(9):
        said = refused(server, "/api/generate", {**GENERATE, "format": too_large})
        assert "the grammar cannot be followed any further" in said
    long = "the cat and the dog " * 300  # it fills the context, so it needs all of the cache
    assert server.post("/api/generate", {**GENERATE, "prompt": long})[0] == 200


MANY_WORDS = {"type": "string", "enum": [f"word {number}" for number in range(60)]}
COSTLY = {"type": "regex", "pattern": "|".join(f"word{number}" for number in range(2000))}


def test_schemas_and_grammars_have_limits_in_the_settings(start_server):
    small = start_server(OLPIPE_MAX_SCHEMA="500", OLPIPE_GRAMMAR_EFFORT="1")
    assert "characters, more than 500" in refused(small, "/api/generate", {**GENERATE, "format": MANY_WORDS})
    assert "too big (limit for this grammar: 10000)" in refused(small, "/api/generate", {**GENERATE, "format": COSTLY})


@pytest.mark.parametrize("guidance", [MANY_WORDS, COSTLY], ids=["schema", "expression"])
def test_what_is_within_the_usual_limits_is_followed(server, guidance):
    assert server.post("/api/generate", {**GENERATE, "format": guidance})[0] == 200


def test_tools_have_the_limits_of_schemas(server):
    tool = {"type": "function", "function": {"name": "f", "parameters": EXPLODING_SCHEMAS["deep"]}}
    body = {"model": "thinker", "messages": [{"role": "user", "content": "hi"}], "tools": [tool]}
    refused(server, "/api/chat", body)
    refused(server, "/v1/chat/completions", body)


# --- templates ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ self._TemplateReference__context }}",
        "{{ namespace.__init__.__globals__['sys'] }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}{{ os }}",
        "{{ '%s' % (messages|attr('__class__')) }}",
        "{{ 'x'.format.__globals__ }}",
        "{{ '{0.__class__.__mro__}'.format(messages) }}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{{ 'x' * 99999999999 }}",
        "{{ 2 ** 99999999 }}",
        "{% set a = 'x' %}{% for n in range(200) %}{% set a = a ~ a %}{% endfor %}{{ a }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ 'x'|center(99999999999) }}",
        "{{ raise_exception('no') }}",
    ],
)
def test_a_template_can_neither_look_out_nor_run_for_ever(server, template):
    body = {**GENERATE, "template": template + "{% for message in messages %}{{ message.content }}{% endfor %}"}
    status, answer = server.post("/api/generate", body)
    assert status < 500, answer
    assert "root:" not in str(answer)
    assert "uid=" not in str(answer)
