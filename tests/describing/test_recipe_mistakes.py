"""Every mistake in a recipe is told at once, each with its line and its key."""

import re

import pytest

from olpipe.describing.recipe_changes import Change
from olpipe.describing.recipe_check import wrong_in
from olpipe.describing.recipe_file import find_recipe, shipped_recipes
from olpipe.describing.recipe_lines import line_of
from olpipe.describing.recipe_source import RecipeSource
from olpipe.errors import RecipeError, UnknownName, UsageError
from olpipe.plugins import Plugins
from olpipe.settings import Settings

MANY = '''\
name = "a"
task = "photo"
modl = "x"
prompt = """
[options]
temprature = 3
{fil} and {x,y,w,h}
"""
min_score = 2
language = "English!"
perceivers = [
  "eye",
  7,
]

[options]
temprature = 1
top_p = 9
stop = ["a", 1]

[[examples]]
question = "q"

[[examples]]
question = 1
answer = "x"

[schema]
type = "object"
requierd = ["a"]

[schema.properties.tags]
x-evidence = "tag"

[schema.properties."a.b"]
type = "string"
patern = "x"
'''

GOOD = 'name = "a"\ntask = "{task}"\nmodel = "m"\nprompt = "p"\nperceivers = [{perceivers}]\n{schema}'


@pytest.fixture(scope="module")
def plugins(tmp_path_factory):
    return Plugins.load(Settings(home=tmp_path_factory.mktemp("home"), plugins_allow=()))


def source(text, *changes):
    return RecipeSource("a.toml", text, tuple(map(Change.parse, changes)))


def places(text, plugins):
    return [(placed.line, placed.key) for placed in wrong_in(source(text), plugins)]


def test_all_mistakes_are_told_in_the_order_of_lines(plugins):
    assert places(MANY, plugins) == [
        (1, "model"),
        (3, "modl"),
        (4, "prompt"),
        (9, "min_score"),
        (10, "language"),
        (11, "perceivers[1]"),
        (17, "options.temprature"),
        (18, "options.top_p"),
        (19, "options.stop[1]"),
        (21, "examples[0].answer"),
        (25, "examples[1].question"),
        (30, "schema.requierd"),
        (33, "schema.properties.tags.x-evidence"),
        (37, "schema.properties.a.b.patern"),
    ]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (
            '[schema]\ntype = "objct"\n[schema.properties.n]\nmaxItems = "a"\n',
            {(7, "schema.type"), (9, "schema.properties.n.maxItems")},
        ),
        (
            'schema = { type = "object", properties = { n = { minLength = -1 } } }',
            {(6, "schema.properties.n.minLength")},
        ),
        ("[schema.properties.n]\ndefault = 2026-01-01\n", {(7, "schema.properties.n.default")}),
        ('[schema]\ntype = "object"\n[schema.properties.n]\npattern = "("\n', {(9, "schema.properties.n.pattern")}),
        ('[schema.schema]\ntype = "object"\n', {(6, "schema")}),
        (
            '[schema.properties.n]\nanyOf = [\n  { type = "string" },\n  { typ = "null" },\n]\n',
            {(7, "schema.properties.n.anyOf[1].typ")},
        ),
    ],
)
def test_mistakes_of_a_schema_are_told_at_their_keys(schema, expected, plugins):
    found = places(GOOD.format(task="data", perceivers="", schema=schema), plugins)
    assert set(found) == expected


def test_what_no_plugin_has_is_told_at_its_key(plugins):
    text = GOOD.format(task="phot", perceivers='"nobody"', schema='[schema]\ntype = "object"')
    wrong = wrong_in(source(text), plugins)
    assert [(placed.line, placed.key) for placed in wrong] == [(2, "task"), (5, "perceivers")]
    assert str(wrong[0].raised()) == "recipe `a.toml`, line 2: `task`: no task is called `phot`"
    assert isinstance(wrong[0].raised(), UnknownName)


def test_a_property_that_the_task_does_not_know_is_told_at_its_heading(plugins):
    text = GOOD.format(task="photo", perceivers="", schema='[schema.properties.colour]\ntype = "string"\n')
    (placed,) = wrong_in(source(text), plugins)
    assert (placed.line, placed.key) == (6, "schema.properties.colour")
    assert "does not know the property `colour`" in placed.message


@pytest.mark.parametrize(
    ("text", "line"),
    [("name = ", 1), ('name = "x"\ntask = \n', 2), ('name = "x"\nname = "y"\n', 2), ('a = """\n\n', 1)],
)
def test_what_is_no_toml_is_told_with_its_line(text, line, plugins):
    (placed,) = wrong_in(source(text), plugins)
    assert (placed.line, placed.key) == (line, "")
    assert placed.message.startswith("it is not valid TOML: ")


def test_a_file_that_is_not_utf_8_is_told_with_its_line(tmp_path):
    (tmp_path / "a.toml").write_bytes(b'name = "x"\n# \xff\n')
    with pytest.raises(RecipeError, match=r"a\.toml`, line 2: it is not valid TOML: it is not UTF-8"):
        find_recipe(str(tmp_path / "a.toml"))


def test_lines_are_counted_as_editors_do_in_files_of_windows(tmp_path, plugins):
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbf" + MANY.replace("\n", "\r\n").encode())
    found = wrong_in(find_recipe(str(tmp_path / "a.toml")), plugins)
    assert [(placed.line, placed.key) for placed in found] == places(MANY, plugins)


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_heading_and_key_of_the_shipped_recipes_is_found_on_its_line(name):
    text = shipped_recipes()[name].read_text(encoding="utf-8")
    table = ()
    looked_at = 0
    for number, line in enumerate(text.splitlines(), start=1):
        heading, key = re.match(r"\[([\w.-]+)\]$", line), re.match(r"([\w-]+) = ", line)
        if heading:
            table = tuple(heading[1].split("."))
            assert line_of(text, table) == number
        elif key:
            assert line_of(text, (*table, key[1])) == number
            looked_at += 1
    assert looked_at > 15


# --- --set --------------------------------------------------------------------------------------

RECIPE = """\
name = "a"
task = "data"
model = "m"
prompt = "p"
[options]
temperature = 0
[schema]
type = "object"
[schema.properties.a]
maxLength = 5
type = "string"
"""


@pytest.mark.parametrize(
    ("given", "read", "expected"),
    [
        ("options.temperature=0.5", lambda recipe: recipe.sampling.temperature, 0.5),
        ("options.stop=['a', \"b\"]", lambda recipe: recipe.sampling.stop, ("a", "b")),
        ("options . top_k = 3", lambda recipe: recipe.sampling.top_k, 3),
        ("model=qwen3-vl:2b", lambda recipe: recipe.model, "qwen3-vl:2b"),
        ("model='x'", lambda recipe: recipe.model, "x"),
        ("name=2024-05-01", lambda recipe: recipe.name, "2024-05-01"),
        ("name=7", lambda recipe: recipe.name, "7"),
        ("prompt=What? a = b", lambda recipe: recipe.prompt, "What? a = b"),
        ("prompt=", lambda recipe: recipe.prompt, ""),
        ("perceivers=[]", lambda recipe: recipe.perceivers, ()),
        ("schema.properties.a.maxLength=9", lambda recipe: recipe.schema["properties"]["a"]["maxLength"], 9),
        ("schema.properties.'b c'={type='null'}", lambda recipe: recipe.schema["properties"]["b c"], {"type": "null"}),
    ],
)
def test_a_key_can_be_set_for_one_run(given, read, expected):
    assert read(source(RECIPE, given).recipe()) == expected


def test_the_last_value_of_a_key_counts_and_the_others_stay():
    recipe = source(RECIPE, "options.seed=1", "options.seed=2", "options.top_k=3").recipe()
    assert (recipe.sampling.seed, recipe.sampling.top_k, recipe.sampling.temperature) == (2, 3, 0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("options.temprature=1", "`--set options.temprature=1`: `options.temprature` is not known"),
        ("min_score=7", "`--set min_score=7`: `min_score` must be between 0 and 1, not `7`"),
        ("image_tokens=many", "`--set image_tokens=many`: `image_tokens` must be a whole number, not `many`"),
        ("prompt={nobody}", "`--set prompt={nobody}`: `prompt` names `{nobody}`, which is not known"),
        ("name.first=a", "`--set name.first=a`: `name` is not a table"),
        ("temperature", "`--set temperature` is not KEY=VALUE"),
        ("=1", "`--set =1` is not KEY=VALUE"),
        ("a b=1", "`--set a b=1` is not KEY=VALUE"),
    ],
)
def test_what_cannot_be_set_is_told_with_what_was_given(given, message):
    with pytest.raises(UsageError) as caught:
        source(RECIPE, given).recipe()
    assert caught.value.message == message
