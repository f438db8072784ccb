"""Recipes with stages: what may stand in them, how their answers become one, and what keys depend on."""

import json
import tomllib

import pytest

from olpipe.describing.recipe_changes import Change
from olpipe.describing.recipe_check import wrong_in
from olpipe.describing.recipe_file import parse_recipe
from olpipe.describing.recipe_source import RecipeSource
from olpipe.describing.recipe_task import conversation
from olpipe.describing.stage import Answer, joined_schema, joined_value, told_answers
from olpipe.errors import UsageError
from olpipe.generation import Timings, Usage
from olpipe.guidance.schema import check_schema
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from tests.describing.test_recipe import key as key_of

TEXT = """\
name = "shop"
task = "data"
model = "m"

[options]
temperature = 0
max_tokens = 200

[[stages]]
name = "facts"
prompt = "What is it?"

[stages.schema]
type = "object"
additionalProperties = false
required = ["colours"]
[stages.schema."$defs"]
colour = { enum = ["red", "grey"] }
[stages.schema.properties.colours]
type = "array"
items = { "$ref" = "#/$defs/colour" }

[[stages]]
name = "words"
prompt = "Its colours are {facts.colours}. Write its title. It lies in {folder}."
options = { max_tokens = 60 }

[[stages.examples]]
question = "A chair"
answer = '{"title": "Chair"}'

[stages.schema]
type = "object"
additionalProperties = false
required = ["title"]
[stages.schema.properties.title]
type = "string"
maxLength = 40
"""


@pytest.fixture(scope="module")
def plugins(tmp_path_factory):
    return Plugins.load(Settings(home=tmp_path_factory.mktemp("home"), plugins_allow=()))


def recipe(text=TEXT, *changes):
    return RecipeSource("a.toml", text, tuple(map(Change.parse, changes))).recipe()


def places(text, plugins):
    return [(placed.line, placed.key) for placed in wrong_in(RecipeSource("a.toml", text), plugins)]


def without(*parts):
    text = TEXT
    for part in parts:
        assert part in text
        text = text.replace(part, "", 1)
    return text


def answer(stage, value):
    return Answer(stage, value, Usage(), Timings(), truncated=False, ground_ns=0)


def test_each_stage_is_a_question_of_its_own():
    first, second = recipe().questions
    assert (first.prompt, first.sampling.max_tokens, first.examples) == ("What is it?", 200, ())
    assert (second.sampling.max_tokens, second.sampling.temperature) == (60, 0)
    assert second.examples == (("A chair", '{"title": "Chair"}'),)
    assert [*second.schema["properties"]] == ["title"]
    assert (first.model, first.questions) == ("m", (first,))


def test_the_whole_schema_is_that_of_all_answers_together():
    whole = recipe().schema
    assert [*whole["properties"]] == whole["required"] == ["colours", "title"]
    assert whole["additionalProperties"] is False
    check_schema(json.dumps(whole))  # what the first stage defines is still there


def test_more_properties_are_allowed_where_a_stage_allows_them():
    assert "additionalProperties" not in joined_schema([{"properties": {"a": {}}, "additionalProperties": False}, {}])


def test_a_property_is_answered_by_the_stage_that_it_belongs_to():
    stages = recipe(without("additionalProperties = false\n", "additionalProperties = false\n")).stages
    answers = [answer("facts", {"colours": ["red"], "title": "no", "size": 1}), answer("words", {"title": "yes"})]
    assert joined_value(stages, answers) == {"colours": ["red"], "size": 1, "title": "yes"}


def test_an_answer_that_is_no_object_is_the_tasks_fault():
    with pytest.raises(TypeError, match="in the stage `words` asked for no object"):
        joined_value(recipe().stages, [answer("facts", {"colours": []}), answer("words", "a title")])


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("two\nlines \x00", "two lines"),
        (["red", "grey"], "red, grey"),
        ([], "[]"),
        (None, "unknown"),
        (True, "true"),
        (1.5, "1.5"),
        ({"w": 1, "名": "x"}, '{"w": 1, "名": "x"}'),
        ("x" * 2000, "x" * 999 + "…"),
    ],
)
def test_an_answer_becomes_one_line_of_a_prompt(value, told):
    assert told_answers([answer("facts", {"it": value})]) == {"facts.it": told}


def test_the_photo_stands_before_the_prompt(plugins):
    assert [text for _, text in conversation(recipe(), plugins.tasks)] == [
        "[photo]\nWhat is it?",
        "A chair",
        '{"title": "Chair"}',
        "[photo]\nIts colours are {facts.colours}. Write its title. It lies in Summer.",
    ]


def test_a_recipe_with_one_stage_asks_one_question():
    text = TEXT[: TEXT.index('[[stages]]\nname = "words"')]
    assert [question.prompt for question in recipe(text).questions] == ["What is it?"]


MISTAKES = [
    ('name = "facts"\n', 'name = "Facts"\n', [(10, "stages[0].name"), (25, "stages[1].prompt")]),
    ('name = "facts"\n', 'name = "exif"\n', [(10, "stages[0].name"), (25, "stages[1].prompt")]),
    ('name = "words"\n', 'name = "facts"\n', [(24, "stages[1].name")]),
    ('name = "words"\n', "", [(23, "stages[1].name")]),
    ('prompt = "What is it?"\n', "", [(9, "stages[0].prompt")]),
    ("What is it?", "What is {words.title}?", [(11, "stages[0].prompt")]),
    ("{facts.colours}", "{facts.colour}", [(25, "stages[1].prompt")]),
    ("max_tokens = 60", "max_tokens = 0", [(26, "stages[1].options.max_tokens")]),
    ("max_tokens = 200", "max_token = 200", [(7, "options.max_token")]),
    (
        'question = "A chair"',
        'quest = "A chair"',
        [(28, "stages[1].examples[0].question"), (29, "stages[1].examples[0].quest")],
    ),
    (
        "properties.title]",
        "properties.colours]",
        [(32, "stages[1].schema"), (36, "stages[1].schema.properties.colours")],
    ),
    ("maxLength = 40", 'maxLength = "40"', [(38, "stages[1].schema.properties.title.maxLength")]),
    ('required = ["title"]', "minProperties = 1", [(35, "stages[1].schema.minProperties")]),
    (
        'type = "object"\nadditionalProperties = false\nrequired = ["title"]',
        'type = "array"',
        [(33, "stages[1].schema.type")],
    ),
    (
        "[[stages]]\nname",
        'prompt = "x"\nexamples = []\n[[stages]]\nname',
        [(9, "options.prompt"), (10, "options.examples")],
    ),
    ('model = "m"', 'model = "m"\nprompt = "x"\nschema = {}', [(4, "prompt"), (5, "schema")]),
    ("options = { max_tokens = 60 }", "model = 'x'", [(26, "stages[1].model")]),
]


@pytest.mark.parametrize(("old", "new", "expected"), MISTAKES, ids=range(len(MISTAKES)))
def test_every_mistake_is_told_at_its_line(old, new, expected, plugins):
    assert old in TEXT
    assert places(TEXT.replace(old, new, 1), plugins) == expected


def test_stages_that_are_none_are_told(plugins):
    head = 'name = "a"\ntask = "data"\nmodel = "m"\n'
    assert places(f"{head}stages = []\n", plugins) == [(4, "stages")]
    assert places(f"{head}stages = [1]\n", plugins) == [(4, "stages[0]")]
    assert places(f'{head}stages = "x"\n', plugins) == [(4, "stages")]


def test_a_definition_means_the_same_in_all_stages(plugins):
    other = '[stages.schema."$defs"]\ncolour = { enum = ["blue"] }\n[stages.schema.properties.title]'
    text = TEXT.replace("[stages.schema.properties.title]", other)
    assert places(text, plugins) == [(37, "stages[1].schema.$defs.colour")]


def test_what_the_task_refuses_is_told_at_its_stage(plugins):
    assert places(TEXT.replace('"data"', '"photo"'), plugins) == [(19, "stages[0].schema.properties.colours")]


def test_tags_are_those_of_all_stages(plugins):
    tags = "\n[tags]\nlimit = 3\n"
    assert places(TEXT + tags, plugins) == [(40, "tags")]
    tagged = (
        TEXT.replace("properties.title]", 'properties.tags]\nitems = { type = "string" }')
        .replace('type = "string"\nmaxLength = 40', 'type = "array"')
        .replace('required = ["title"]', 'required = ["tags"]')
    )
    assert places(tagged + tags, plugins) == []
    first, second = recipe(tagged + tags).questions
    assert (first.used_tagging, second.used_tagging.limit) == (None, 3)


def test_a_stage_is_set_by_its_name():
    changed = recipe(
        TEXT, "stages.words.options.max_tokens=9", "stages.words.prompt=Write.", "stages.facts.prompt=What?"
    )
    assert [stage.prompt for stage in changed.stages] == ["What?", "Write."]
    assert [stage.sampling.max_tokens for stage in changed.stages] == [200, 9]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("stages.text.prompt=x", "`--set stages.text.prompt=x`: there is no stage `text`"),
        ("stages.words.promt=x", "`--set stages.words.promt=x`: `stages[1].promt` is not known"),
        ("stages.words.prompt.x=1", "`--set stages.words.prompt.x=1`: `stages.words.prompt` is not a table"),
        ("stages.words.examples.a=1", "`--set stages.words.examples.a=1`: `stages.words.examples` is not a table"),
    ],
)
def test_a_stage_that_is_set_wrongly_is_told(given, message):
    with pytest.raises(UsageError) as caught:
        recipe(TEXT, given)
    assert caught.value.message == message


def test_a_stage_cannot_be_set_where_the_recipe_has_none():
    plain = 'name = "a"\ntask = "data"\nmodel = "m"\nprompt = "p"\nschema = { type = "object" }\n'
    with pytest.raises(UsageError, match=r"`--set stages.x.prompt=1`: the recipe has no stages"):
        recipe(plain, "stages.x.prompt=1")


def test_one_prompt_is_refused_and_another_schema_asks_one_question():
    with pytest.raises(UsageError, match="has a prompt in each of its stages, `facts`, `words`") as caught:
        recipe().override(prompt="Hello")
    assert caught.value.hint == "change one of them with `--set stages.facts.prompt=…`"
    assert recipe().override(schema='{"type": "object"}', prompt="Hello").stages == ()


def test_changes_to_sampling_hold_in_all_stages():
    changed = recipe().sampled({"seed": 7})
    assert [question.sampling.seed for question in changed.questions] == [7, 7]
    assert [question.sampling.max_tokens for question in changed.questions] == [200, 60]


def test_the_key_depends_on_every_stage():
    keys = {key_of(recipe(text)) for text in (TEXT, TEXT.replace("What is it?", "What?"), TEXT.replace("60", "61"))}
    keys.add(key_of(recipe(TEXT.replace("A chair", "A table"))))
    keys.add(key_of(recipe(TEXT.replace("maxLength = 40", "maxLength = 41"))))
    assert len(keys) == 5


def test_stages_travel_in_one_table(plugins):
    table = tomllib.loads(TEXT)
    assert parse_recipe(table) == recipe()
