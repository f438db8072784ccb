"""The table `[tags]` of a recipe: what it says, every mistake in it with its line, and its part of the key."""

from dataclasses import replace

import pytest

from olpipe.default_plugins.onnx.backend import OnnxBackend
from olpipe.default_plugins.tasks.data import DataTask
from olpipe.default_plugins.tasks.photo import PhotoTask
from olpipe.describing.recipe_changes import Change
from olpipe.describing.recipe_file import read_recipe
from olpipe.describing.recipe_source import RecipeSource
from olpipe.errors import RecipeError
from olpipe.tagging.settings import Mode, Tagging
from olpipe.tagging.vocabulary import Term, Vocabulary

HEAD = 'name = "a"\ntask = "data"\nmodel = "m"\nprompt = "p"\n'
SCHEMA = """
[schema]
type = "object"
required = ["tags"]

[schema.properties.tags]
type = "array"
maxItems = 4
items = { type = "string", maxLength = 6 }
"""
DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def source(tmp_path):
    """Return a function that writes a recipe with a table `[tags]`, and files beside it, and reads it."""

    def written(tags, *changes, schema=SCHEMA, **files):
        for name, text in files.items():
            (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
        path = tmp_path / "a.toml"
        path.write_text(HEAD + tags + schema, encoding="utf-8")
        return RecipeSource.read(path, "a.toml", [Change.parse(change) for change in changes])

    return written


def key(recipe, task=None):
    return recipe.key(DIGEST, OnnxBackend(), task or DataTask(), ())


def test_a_table_says_what_is_done_with_tags(source):
    table = '[tags]\nstop = ["sky"]\nlimit = 3\nfold = false\nsynonyms.sofa = ["couch"]\n'
    recipe = source(table).recipe()
    assert recipe.tagging == Tagging(stop=("sky",), limit=3, fold=False, synonyms=(("sofa", ("couch",)),))
    assert source("").recipe().tagging is None
    assert source("[tags]\n").recipe().tagging == Tagging()


def test_a_vocabulary_lies_beside_the_recipe_and_holds_answers_to_its_terms(source):
    recipe = source('[tags]\nfrom = "pets.txt"\n', pets="cat\ndog\nelephant\n").recipe()
    assert (recipe.tagging.mode, recipe.tagging.source) == (Mode.CLOSED, "pets.txt")
    assert recipe.context().schema["properties"]["tags"]["items"] == {"enum": ["cat", "dog"]}  # the third is too long
    assert recipe.schema["properties"]["tags"]["items"] == {"type": "string", "maxLength": 6}


@pytest.mark.parametrize("mode", ["map", "prefer"])
def test_in_the_other_modes_the_model_writes_freely(source, mode):
    recipe = source(f'[tags]\nfrom = "pets.txt"\nmode = "{mode}"\n', pets="cat\n").recipe()
    assert recipe.context().schema == recipe.schema


def test_what_set_names_is_looked_for_where_the_command_runs(source, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "mine.txt").write_text("owl\n")
    monkeypatch.chdir(tmp_path / "here")
    recipe = source("", "tags.from=mine.txt", "tags.limit=2").recipe()
    assert ([term.name for term in recipe.tagging.vocabulary.terms], recipe.tagging.limit) == (["owl"], 2)


@pytest.mark.parametrize(
    ("table", "line", "named", "message"),
    [
        ("[tags]\nmood = 1\n", 6, "tags.mood", "`tags.mood` is not known"),
        ("[tags]\nlimit = 0\n", 6, "tags.limit", "`tags.limit` must be 1 or more, not `0`"),
        ("[tags]\nlimit = true\n", 6, "tags.limit", "`tags.limit` must be a whole number, not `True`"),
        ("[tags]\nfold = 1\n", 6, "tags.fold", "`tags.fold` must be true or false, not `1`"),
        ('[tags]\nstop = ["a", 1]\n', 6, "tags.stop[1]", "`tags.stop[1]`: `tags.stop` must hold texts, not `1`"),
        ('[tags]\nfrom = "pets.txt"\nmode = "clos"\n', 7, "tags.mode", "`tags.mode` cannot be `clos`"),
        ('[tags]\nmode = "map"\n', 6, "tags.mode", "`tags.mode` is about a vocabulary, and there is no `tags.from`"),
        ('[tags]\nfrom = " "\n', 6, "tags.from", "`tags.from` must name a file"),
        ('[tags]\n\nfrom = "bad.txt"\n', 7, "tags.from", "`tags.from`: `bad.txt`, line 2: `!` has no letters"),
        (
            '[tags]\nfrom = "long.txt"\n',
            6,
            "tags.from",
            "`tags.from`: the schema has no room for any term of `long.txt`",
        ),
        (
            '[tags.synonyms]\nsofa = "couch"\n',
            6,
            "tags.synonyms.sofa",
            "`tags.synonyms.sofa` must be a list of texts, not `couch`",
        ),
        (
            '[tags.synonyms]\nsofa = ["couch"]\nchair = ["Couch"]\n',
            7,
            "tags.synonyms.chair",
            "`tags.synonyms.chair`: `Couch` is a synonym of `sofa`, too",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line_and_its_key(source, table, line, named, message):
    (placed,) = source(table, pets="cat", bad="cat\n!\n", long="elephant\n").mistakes()
    assert (placed.line, placed.key, placed.message) == (line, named, message)


def test_every_line_of_a_vocabulary_that_cannot_be_used_is_told(source):
    found = source('[tags]\nfrom = "bad.txt"\n', bad="!\ncat\n?\n").mistakes()
    assert [placed.message for placed in found] == [
        "`tags.from`: `bad.txt`, line 1: `!` has no letters",
        "`tags.from`: `bad.txt`, line 3: `?` has no letters",
    ]


def test_a_table_is_refused_where_the_schema_has_no_tags(source):
    with pytest.raises(RecipeError, match=r"line 5: `tags` does nothing: the schema has no array of texts"):
        source("[tags]\n", schema='\n[schema]\ntype = "object"\n').recipe()


def test_too_many_terms_for_a_grammar_are_refused_and_can_still_be_mapped(source):
    many = "\n".join(f"t{number}" for number in range(10_001))
    (placed,) = source('[tags]\nfrom = "many.txt"\n', many=many).mistakes()
    assert placed.message == "`tags.from`: `many.txt` has 10,001 terms, and answers are held to 10,000 at most"
    assert not list(source('[tags]\nfrom = "many.txt"\nmode = "map"\n', many=many).mistakes())


def test_the_key_changes_with_everything_that_is_said_of_tags(source):
    recipes = [
        source("").recipe(),
        source("[tags]\n").recipe(),
        source("[tags]\nfold = false\n").recipe(),
        source("[tags]\nlimit = 2\n").recipe(),
        source('[tags]\nstop = ["a"]\n').recipe(),
        source('[tags]\nsynonyms.a = ["b"]\n').recipe(),
        source('[tags]\nfrom = "x.txt"\n', x="a\nb\n").recipe(),
        source('[tags]\nfrom = "x.txt"\nmode = "map"\n', x="a\nb\n").recipe(),
        source('[tags]\nfrom = "x.txt"\n', x="a\nc\n").recipe(),
    ]
    assert len({key(recipe) for recipe in recipes}) == len(recipes)


def test_the_key_depends_on_what_a_vocabulary_holds_and_not_on_its_file(source):
    one = source('[tags]\nfrom = "x.txt"\n', x="a\nb\n").recipe()
    other = source('[tags]\nfrom = "y.txt"\n', y="# ours\r\na\r\nb\r\n").recipe()
    assert key(one) == key(other)


def test_a_table_counts_for_nothing_where_another_schema_has_no_tags(source):
    recipe, plain = source("[tags]\n").recipe(), source("").recipe()
    other = '{"type":"object","properties":{"n":{"type":"integer"}}}'
    assert key(recipe.override(schema=other)) == key(plain.override(schema=other))
    assert recipe.override(schema=other).used_tagging is None


@pytest.mark.parametrize(
    ("name", "task", "before"),
    [
        ("alt-text", PhotoTask(), "67c7aacec04fb8355e8d11ebcf729275a28304aa87249b13c82316cfe8ba5ae4"),
        ("catalog-zh", PhotoTask(), "dce24ec5eb1db8aaa40e6b5fb7a11bbe33b5c45d06dcd17b26094dbfb37eae93"),
        ("documents", DataTask(), "38056ba80294679660b90da848772d01f22c47e964b6078fd4053b9086f09aac"),
        ("photo-tags", PhotoTask(), "cd6898e48aab6e9bbb2874228e13da1ab9e436570b3ac672ee69e8920c801ce8"),
    ],
)
def test_photos_of_recipes_without_the_table_are_not_described_again(name, task, before):
    assert key(read_recipe(name), task) == before  # the key from before there was such a table


def test_the_key_of_a_recipe_without_tags_does_not_change_with_what_is_done_with_them():
    documents = read_recipe("documents")
    assert key(replace(documents, tagging=Tagging(limit=2))) == key(documents)


def test_a_vocabulary_brings_words_of_a_language_that_perceivers_lack(source):
    cat = Vocabulary((Term("cat", (), (("it", ("gatto",)),)),))
    recipe = replace(source("[tags]\n").recipe(), language="it", tagging=Tagging(cat))
    assert not recipe.needs_words
    assert replace(recipe, language="fr").needs_words
    assert replace(recipe, tagging=Tagging(cat, Mode.PREFER)).needs_words  # other tags stay in English
    assert replace(recipe, tagging=Tagging()).needs_words
    assert not replace(recipe, tagging=Tagging(Vocabulary((Term("gatto"),), "it"))).needs_words
