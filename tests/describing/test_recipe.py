"""Recipes: read from TOML, checked to the last key, and digested into the key that outcomes are kept under."""

import json
from dataclasses import replace

import pytest

from olpipe.default_plugins.onnx.backend import OnnxBackend
from olpipe.default_plugins.ort_genai.backend import OrtGenaiBackend
from olpipe.default_plugins.tasks.data import DataTask
from olpipe.default_plugins.tasks.photo import PROPERTIES, PhotoTask
from olpipe.describing.recipe import Recipe
from olpipe.describing.recipe_file import parse_recipe, read_recipe, shipped_recipes
from olpipe.errors import RecipeError, SchemaError, UsageError
from olpipe.families.gemma3 import Gemma3
from olpipe.families.idefics3 import Idefics3
from olpipe.generation import SamplingParams
from olpipe.interfaces import Perceiver
from olpipe.record import Evidence
from olpipe.testing.echo import EchoBackend

TABLE = {
    "name": "signs",
    "task": "data",
    "model": "echo",
    "prompt": "\nRead the sign.\n",
    "schema": {"type": "object", "properties": {"text": {"type": "string"}}},
}
DIGEST = "sha256:" + "a" * 64


class Eye(Perceiver):
    def __init__(self, name, version="1", german="Auge"):
        self.name, self.version = name, version
        self.german = german

    def translations(self):
        return {"de": {"eye": self.german}}

    def perceive(self, image):
        return Evidence()


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_can_be_read_by_its_name(name):
    assert read_recipe(name).name == name


def test_photo_tags_asks_for_what_a_record_has_in_that_order():
    recipe = read_recipe("photo-tags")
    assert tuple(recipe.schema["properties"]) == PROPERTIES
    assert (recipe.task, recipe.model, recipe.sampling.temperature) == ("photo", "photo-mini", 0)
    evidence = {name: part.get("x-evidence") for name, part in recipe.schema["properties"].items()}
    assert evidence == {"tags": "tags", "title": None, "description": None, "alt": None, "objects": "objects"}


def test_a_recipe_is_read_whole():
    recipe = parse_recipe(
        TABLE
        | {"language": "zh-Hans", "perceivers": ["eye"], "options": {"temperature": 1, "seed": 3, "stop": ["x"]}}
        | {"examples": [{"question": "Q", "answer": "A"}], "backend": "echo"}
        | {"sinks": ["jsonl", "csv:all.csv"], "executor": "cluster", "min_score": 0.25, "image_tokens": 300}
    )
    assert recipe == Recipe(
        name="signs",
        task="data",
        model="echo",
        prompt="Read the sign.",
        schema=TABLE["schema"],
        language="zh-Hans",
        sampling=SamplingParams(temperature=1.0, seed=3, stop=("x",)),
        examples=(("Q", "A"),),
        perceivers=("eye",),
        min_score=0.25,
        backend="echo",
        image_tokens=300,
        sinks=("jsonl", "csv:all.csv"),
        executor="cluster",
    )
    assert recipe.context().prompt == "Read the sign.\nWrite every text in the language `zh-Hans`."


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        ({"promt": "x"}, "`promt` is not known", "did you mean `prompt`?"),
        ({"options": {"temprature": 0}}, "`options.temprature` is not known", "did you mean `temperature`?"),
        ({"options": {"top_p": 2}}, "`options.top_p` must be between 0 and 1, not `2`", None),
        ({"options": {"max_tokens": 0}}, "`options.max_tokens` must be 1 or more, not `0`", None),
        ({"options": {"top_k": True}}, "`options.top_k` must be a whole number, not `True`", None),
        ({"options": {"stop": [1]}}, "`options.stop` must hold texts, not `1`", None),
        ({"prompt": 5}, "`prompt` must be a text, not `5`", None),
        ({"evidence": ["eye"]}, "`evidence` is not known", "did you mean `perceivers`?"),
        ({"sinks": "csv"}, "`sinks` must be a list, not `csv`", None),
        ({"sinks": [1]}, "`sinks` must hold texts, not `1`", None),
        ({"perceivers": [True]}, "`perceivers` must hold texts, not `True`", None),
        ({"min_score": 1.5}, "`min_score` must be between 0 and 1, not `1.5`", None),
        ({"min_score": -1}, "`min_score` must be between 0 and 1, not `-1`", None),
        ({"min_score": float("nan")}, "`min_score` must be between 0 and 1, not `nan`", None),
        ({"min_score": "0.5"}, "`min_score` must be a number, not `0.5`", None),
        ({"min_scores": 0.5}, "`min_scores` is not known", "did you mean `min_score`?"),
        ({"image_tokens": 0}, "`image_tokens` must be 1 or more, not `0`", None),
        ({"image_tokens": -4}, "`image_tokens` must be 1 or more, not `-4`", None),
        ({"image_tokens": 2.5}, "`image_tokens` must be a whole number, not `2.5`", None),
        ({"image_tokens": True}, "`image_tokens` must be a whole number, not `True`", None),
        ({"image_token": 9}, "`image_token` is not known", "did you mean `image_tokens`?"),
        ({"backend": ["onnx"]}, "`backend` must be a text, not `['onnx']`", None),
        ({"language": "English!"}, "`language` cannot be `English!`", "write a tag like `en` or `zh-Hans`"),
        ({"examples": [{"question": "q"}]}, "`examples[0].answer` is missing", None),
        ({"examples": ["q"]}, "`examples[0]` must be a table, not `q`", None),
        ({"schema": {"default": __import__("datetime").date(2026, 1, 1)}}, "`schema` holds `2026-01-01`", None),
    ],
)
def test_a_recipe_that_cannot_be_used_says_where(change, message, hint):
    with pytest.raises(RecipeError) as caught:
        parse_recipe(TABLE | change)
    assert caught.value.message.startswith(message)
    assert caught.value.hint == hint


def test_a_missing_key_is_named():
    with pytest.raises(RecipeError, match="`model` is missing"):
        parse_recipe({key: value for key, value in TABLE.items() if key != "model"})


def test_an_invalid_schema_is_refused_with_file_and_place(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(
        'name = "bad"\ntask = "data"\nmodel = "m"\nprompt = "p"\n[schema.properties.tags]\nmaxItems = "12"\n'
    )
    with pytest.raises(SchemaError) as caught:
        read_recipe(str(path))
    assert caught.value.message.startswith(
        f"recipe `{path}`, line 6: `schema.properties.tags.maxItems`: the schema is not valid at"
        " `$.properties.tags.maxItems`: '12' is not of type"
    )


def test_a_wrong_use_of_evidence_is_refused_with_file_and_place(tmp_path):
    path = tmp_path / "words.toml"
    path.write_text(
        'name = "words"\ntask = "data"\nmodel = "m"\nprompt = "p"\n'
        '[schema.properties.words]\ntype = "string"\nx-evidence = "texts"\n'
    )
    with pytest.raises(SchemaError) as caught:
        read_recipe(str(path))
    assert caught.value.message == (
        f"recipe `{path}`, line 5: `schema.properties.words`:"
        ' `x-evidence = "texts"` fills an array of texts, and `$.properties.words` cannot be one'
    )
    assert caught.value.hint == 'write `type = "array"` and `items = { type = "string" }`, or leave `x-evidence` out'


def test_a_recipe_that_is_not_there_offers_the_nearest(tmp_path):
    with pytest.raises(RecipeError, match="no recipe `photo-tag`") as caught:
        read_recipe("photo-tag")
    assert caught.value.hint == "did you mean `photo-tags`?"
    (tmp_path / "signs.toml").write_text("")
    with pytest.raises(RecipeError) as caught:
        read_recipe(str(tmp_path / "sings.toml"))
    assert caught.value.hint == "did you mean `signs.toml`?"


def test_a_recipe_with_a_byte_order_mark_is_read(tmp_path):
    text = shipped_recipes()["photo-tags"].read_text(encoding="utf-8")
    (tmp_path / "a.toml").write_text(text, encoding="utf-8-sig")
    assert read_recipe(str(tmp_path / "a.toml")) == read_recipe("photo-tags")


def test_a_misspelt_keyword_in_the_schema_of_a_recipe_is_refused_with_the_file(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text('name = "a"\ntask = "data"\nmodel = "echo"\nprompt = "p"\n[schema]\nrequierd = ["a"]\n')
    with pytest.raises(SchemaError) as caught:
        read_recipe(str(path))
    assert caught.value.message == (
        f"recipe `{path}`, line 6: `schema.requierd`: `requierd` at `$` is not a keyword of JSON Schema"
    )
    assert caught.value.hint == "did you mean `required`? Words of your own begin with `x-`"


def test_a_recipe_that_is_not_toml_says_so(tmp_path):
    (tmp_path / "a.toml").write_text("name = ")
    with pytest.raises(RecipeError, match=r"a\.toml`, line 1: it is not valid TOML: Invalid value$"):
        read_recipe(str(tmp_path / "a.toml"))


def test_an_own_schema_brings_the_task_data_and_a_prompt_that_fits_it():
    schema = json.dumps(TABLE["schema"])
    recipe = replace(read_recipe("photo-tags"), examples=(("q", "a"),)).override(schema=schema)
    assert (recipe.task, recipe.schema, recipe.examples) == ("data", TABLE["schema"], ())
    assert recipe.prompt == "Describe this photo as JSON."
    assert recipe.override(schema=schema, prompt="Read it.").prompt == "Read it."
    with pytest.raises(SchemaError, match="the schema is not JSON"):
        recipe.override(schema="{")


def key(recipe, digest=DIGEST, backend=None, task=None, perceivers=()):
    return recipe.key(digest, backend or OnnxBackend(), task or DataTask(), perceivers)


class NewerOnnxBackend(OnnxBackend):
    """Answers otherwise than what shipped before."""

    version = "2"


def test_the_key_changes_with_everything_a_record_depends_on():
    recipe = parse_recipe(TABLE)
    two = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
    turned = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "string"}}}
    keys = [
        key(recipe),
        key(recipe, digest="sha256:" + "b" * 64),
        key(recipe, backend=EchoBackend()),
        key(recipe, backend=NewerOnnxBackend()),
        key(recipe, task=PhotoTask()),
        key(recipe, perceivers=(Eye("one"),)),
        key(recipe, perceivers=(Eye("one", "2"),)),
        key(recipe, perceivers=(Eye("two"),)),
        key(replace(recipe, prompt="Read the sign!")),
        key(replace(recipe, schema=two)),
        key(replace(recipe, schema=turned)),
        key(replace(recipe, language="de")),
        key(replace(recipe, language="de"), perceivers=(Eye("one"),)),
        key(replace(recipe, language="de"), perceivers=(Eye("one", german="Äuglein"),)),
        key(replace(recipe, sampling=SamplingParams(max_tokens=9))),
        key(replace(recipe, examples=(("q", "a"),))),
    ]
    assert len(set(keys)) == len(keys)


class Reader(Eye):
    """Reads words."""

    reads = True


KEY_WITHOUT_TEXT = "5a959aeadd1a505c5689891d435f0356e8a28714cd12950c4530f5b93c022614"
"""The key of `TABLE` with the perceiver `one`, from when records did not hold the words that were read."""


def test_records_that_lack_the_words_that_a_perceiver_reads_are_made_again():
    recipe = parse_recipe(TABLE)
    assert key(recipe, perceivers=(Reader("one"),)) != key(recipe, perceivers=(Eye("one"),))
    assert key(recipe, perceivers=(Reader("one"),)) != KEY_WITHOUT_TEXT
    assert key(recipe, perceivers=(Eye("one"),)) == KEY_WITHOUT_TEXT


def test_the_key_changes_when_evidence_is_worded_otherwise_and_there_is_some(monkeypatch):
    recipe = parse_recipe(TABLE)
    before = [key(recipe), key(recipe, perceivers=(Eye("one"),))]
    monkeypatch.setattr("olpipe.describing.recipe.WORDING", 0)
    after = [key(recipe), key(recipe, perceivers=(Eye("one"),))]
    assert after[0] == before[0] and after[1] != before[1]


def test_the_key_of_an_english_recipe_does_not_change_with_words_of_other_languages():
    recipe = parse_recipe(TABLE)
    assert key(recipe, perceivers=(Eye("one"),)) == key(recipe, perceivers=(Eye("one", german="Äuglein"),))


def test_a_language_that_perceivers_have_no_words_in_is_refused_before_any_photo():
    with pytest.raises(UsageError, match="there are no tags in `it`"):
        key(replace(parse_recipe(TABLE), language="it"), perceivers=(Eye("one"),))


def test_the_language_can_be_changed_for_one_run():
    recipe = parse_recipe(TABLE).override(language="pt-BR")
    context = recipe.context(with_sentences=False)
    assert (recipe.language, context.language, context.with_sentences) == ("pt-BR", "pt-BR", False)
    with pytest.raises(UsageError, match="`german` is not a language tag") as caught:
        recipe.override(language="german")
    assert caught.value.hint == "write one like `de` or `zh-Hans`"


@pytest.mark.parametrize("least", [2.0, -0.1, float("nan")])
def test_a_least_score_out_of_range_is_refused(least):
    with pytest.raises(UsageError) as caught:
        parse_recipe(TABLE).override(min_score=least)
    assert caught.value.message == f"the least score must be between 0 and 1, not `{least}`"
    assert caught.value.hint == "give a number like `--min-score 0.6`"


def test_the_least_score_counts_in_the_key_where_it_changes_records():
    recipe, eye = parse_recipe(TABLE), (Eye("one"),)
    least = replace(recipe, min_score=0.3)
    assert len({key(one, perceivers=eye) for one in (recipe, least, replace(recipe, min_score=0.4))}) == 3
    assert key(replace(recipe, min_score=0.0), perceivers=eye) == key(recipe, perceivers=eye)
    assert key(replace(recipe, min_score=1), perceivers=eye) == key(replace(recipe, min_score=1.0), perceivers=eye)
    assert key(least) == key(recipe)  # nobody gives scores


def test_the_number_of_image_tokens_counts_in_the_key_where_it_is_given():
    recipe = parse_recipe(TABLE)
    few, many = (parse_recipe(TABLE | {"image_tokens": tokens}) for tokens in (70, 280))
    assert len({key(one) for one in (recipe, few, many)}) == 3
    assert key(recipe.override(image_tokens=70)) == key(few)


class NewerGemma3(Gemma3):
    version = "2"


def test_the_family_that_shows_photos_counts_in_the_key_with_its_version():
    recipe = parse_recipe(TABLE)
    families = (None, Gemma3(), NewerGemma3(), Idefics3())
    keys = [recipe.key(DIGEST, OnnxBackend(), DataTask(), (), family=family) for family in families]
    assert len(set(keys)) == len(keys)
    assert keys[0] == key(recipe)


def test_records_of_several_perceivers_that_saw_the_same_twice_are_made_again():
    pair = key(parse_recipe(TABLE), perceivers=(Eye("one"), Eye("two")))
    # The key from when what several perceivers saw was counted several times
    assert pair != "47923a350975b9ed7af616e91dd7a037a68ebdd0815499b37292a98613f25322"


def test_the_key_does_not_change_with_names_or_spelling():
    recipe = parse_recipe(TABLE)
    assert key(recipe) == key(replace(recipe, name="other", model="other:latest"))
    assert key(recipe) == key(parse_recipe({**TABLE, "prompt": "Read the sign."}))
    one, same = ({**TABLE, "options": {"temperature": number}} for number in (1, 1.0))
    assert key(parse_recipe(one)) == key(parse_recipe(same))


def test_the_key_does_not_change_with_where_records_go_and_who_carries_the_work():
    recipe = parse_recipe(TABLE)
    others = {"sinks": ("csv",)}, {"executor": "cluster"}, {"device": "cuda"}
    assert {key(replace(recipe, **other)) for other in others} == {key(recipe)}


def photo_tags_then():
    """Return the shipped recipe as it was when the keys below were written down."""
    recipe = read_recipe("photo-tags")
    schema = json.loads(json.dumps(recipe.schema))
    schema["properties"]["description"]["minLength"] = 12
    return replace(recipe, schema=schema)


@pytest.mark.parametrize("backend", [OnnxBackend(), OrtGenaiBackend()])
def test_keys_of_recipes_that_were_there_before_keys_named_backends_are_as_they_were(backend):
    signs = parse_recipe(TABLE)
    number = json.dumps({"type": "object", "properties": {"n": {"type": "integer"}}})
    # Written down at the commit c5123e3: with other keys, everybody's photos would be described again.
    assert [
        key(photo_tags_then(), backend=backend, task=PhotoTask()),
        key(signs, backend=backend),
        key(signs.override(schema=number, prompt="Zähle."), backend=backend),
    ] == [
        "03e403f0c2a16394ca61306327cc5a6ea83cb61af29a142e6d1a8e2211ea1803",
        "96dbcde79767b0e606e048c05cb60c6325c5e1c63212aaefa56caf3d51ca7a4c",
        "9bb82e664ddf0b99160a7854e1a785799c602c77d4581aab93028e5778ef57b6",
    ]


@pytest.mark.parametrize("backend", [OnnxBackend(), OrtGenaiBackend()])
def test_keys_of_recipes_with_perceivers_are_those_from_when_records_got_scores(monkeypatch, backend):
    monkeypatch.setattr("olpipe.describing.recipe.WORDING", 2)  # as it was then
    warm = SamplingParams(temperature=0.5, stop=("x",), max_tokens=9)
    german = replace(parse_recipe(TABLE), language="de", sampling=warm, examples=(("q", "a"),))
    eye = (Eye("one"),)
    keys = [
        key(photo_tags_then(), backend=backend, task=PhotoTask(), perceivers=eye),
        key(german, backend=backend, perceivers=eye),
    ]
    assert keys == [
        "6b884916a1108daebdd6ec382deb71b37661dab25fab9ac0d674c52a94b8b6e8",
        "3606a70bbeeb8a42631dbc418308d56d7aee8f5e712b0debbe29893be677a035",
    ]
    # The keys from when records had no scores
    assert not {
        "160b43c2d485471620a8cd1eb5829c9e076ea26c55b5317a5a82fe424cf15eac",
        "50368fc22c10b8fb1fe50e6474efb07a885bd9321295253eb5af9e4744afa229",
    } & set(keys)
