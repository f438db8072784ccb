"""The recipes that ship: each with a tiny model that sees and writes whatever its grammar lets it write."""

import hashlib
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from PIL import Image

from olpipe.describing.recipe_file import read_recipe, shipped_recipes
from olpipe.guidance.wire import wire_schema
from olpipe.testing.vision.photos import smooth_photo

TEXTS = {"title", "description", "alt"}
FOUND = {
    "alt-text": {"alt"},
    "catalog-zh": TEXTS,
    "documents": {"summary"},
    "ecommerce": {"product", "alt"},
    "photo-tags": TEXTS,
    "screenshots": {"shows", "alt"},
}
"""The texts that each recipe asks for."""

SAMPLES = Path(__file__).parents[2] / "samples" / "photos"
PICTURE_OF = re.compile(r"(an? |the )?(image|photo|photograph|picture) of\b", re.IGNORECASE)
CHINESE = re.compile(r"[0-9A-Za-z]{0,12}(?:[一-鿿，。、！？：；（）《》“”‘’—…·][0-9A-Za-z]{0,12})+")
CHINESE_TAG = re.compile(r"[一-鿿·]+|[0-9A-Za-z]{1,12}")


def values(record, recipe):
    """Return what the model answered."""
    return record["data"] if recipe.task == "data" else {key: record[key] for key in recipe.schema["properties"]}


def accepts(recipe, **changes):
    """Say whether the recipe's schema takes its emptiest record with some values in it."""
    empty = {"tags": [], "colours": [], "text": [], "attributes": [], "parties": [], "objects": []}
    document = {name: empty.get(name) for name in recipe.schema["required"]} | changes
    return Draft202012Validator(recipe.schema).is_valid(document)


def test_every_recipe_is_tried():
    assert shipped_recipes().keys() == FOUND.keys()


@pytest.mark.examples(1)
@pytest.mark.parametrize("name", sorted(FOUND.keys() - {"photo-tags"}))  # all tests of batches use that one
def test_a_model_that_sees_writes_what_the_recipe_asks_for(seeing, name):
    Image.fromarray(smooth_photo(64, 48, seed=5)).save(seeing.photos / "a.png")
    tokens = ("--set", "options.max_tokens=60")  # a random model fills every list
    code, said = seeing.run("--recipe", name, "--model", "qwen3_vl", *tokens, "--no-page")
    assert code == 0, said
    (record,) = seeing.records
    recipe = read_recipe(name)
    assert record["recipe"] == name
    answered = values(record, recipe)
    Draft202012Validator(recipe.schema).validate(answered)
    assert FOUND[name] <= answered.keys()
    if name == "catalog-zh":
        assert all(CHINESE.fullmatch(answered[key]) for key in TEXTS)
        tags = [*answered["tags"], *(thing["type"] for thing in answered["objects"])]
        assert all(CHINESE_TAG.fullmatch(tag) for tag in tags)


@pytest.mark.parametrize("name", FOUND)
def test_a_recipe_says_what_it_is_for_and_its_schema_compiles(name):
    recipe = read_recipe(name)
    assert recipe.name == name
    assert recipe.description or name == "photo-tags"
    assert wire_schema(recipe.schema)
    assert recipe.schema["required"] == [*recipe.schema["properties"]]  # no record lacks a key


def test_the_recipe_that_is_used_without_a_name_is_as_it_was():
    # With other bytes, everybody's photos might be described again.
    digest = "b4cce1c55e735fba50856dfe5e44c81dca018571397f878fe957d7add64fd21d"
    assert hashlib.sha256(shipped_recipes()["photo-tags"].read_bytes()).hexdigest() == digest


def test_the_chinese_recipe_has_the_prompt_of_its_language():
    recipe = read_recipe("catalog-zh")
    assert recipe.language == "zh-Hans"
    assert recipe.prompt.startswith("中文描述这个文件")
    assert recipe.prompt.endswith("包含 tags, description, title, alt, objects:[{x,y,w,h,type,tags}]。")


@pytest.mark.parametrize(
    ("tag", "fits"),
    [("猫", True), ("斑点猫", True), ("LED", True), ("dog狗", False), ("a cat", False), ("кошка", False)],
)
def test_a_chinese_tag_is_chinese_or_a_short_latin_word(tag, fits):
    text = "一只猫。"
    assert accepts(read_recipe("catalog-zh"), tags=[tag], title=text, description=text, alt=text) == fits


@pytest.mark.parametrize(
    ("alt", "fits"),
    [
        ("A cat.", True),
        ("A cat", False),
        ("A cat. A dog.", False),
        ("A cat!\n", False),
        ("", False),
        ("x" * 124 + ".", True),
        ("x" * 125 + ".", False),
    ],
)
def test_an_alternative_text_is_one_short_sentence(alt, fits):
    assert accepts(read_recipe("alt-text"), alt=alt) == fits


def test_what_cannot_be_seen_is_null_or_empty_in_recipes_of_things_and_documents():
    assert accepts(read_recipe("ecommerce"))
    assert accepts(read_recipe("documents"))
    assert accepts(read_recipe("screenshots"), shows="A window.", alt="A window.")
    assert not accepts(read_recipe("ecommerce"), condition="shiny")
    assert not accepts(read_recipe("documents"), date="31.5.2024")
    assert accepts(read_recipe("documents"), date="2024-05", language="zh-Hans")


@pytest.mark.parametrize("name", ["ecommerce", "documents", "screenshots"])
def test_recipes_that_need_a_model_that_sees_say_so_and_name_one(name):
    recipe = read_recipe(name)
    assert "needs a model that sees" in recipe.description
    assert (recipe.model, recipe.task) == ("qwen3-vl:2b", "data")


@pytest.mark.examples(1)
@pytest.mark.parametrize("name", ["alt-text", "catalog-zh"])
def test_recipes_of_photo_mini_give_records_of_the_real_model(batch, photo_mini_home, monkeypatch, name):
    monkeypatch.setenv("OLPIPE_HOME", str(photo_mini_home))
    inputs = [SAMPLES / photo for photo in ("cat.jpg", "rocket.jpg", "photographer.jpg")]
    assert batch.run("--recipe", name, "--model", "photo-mini", "--no-page", inputs=inputs)[0] == 0
    cat, photographer, rocket = batch.records
    if name == "alt-text":
        texts = [record["alt"] for record in batch.records]
        assert all(word in text for word, text in zip(("cat", "person", "rocket"), texts, strict=True))
        assert not any(PICTURE_OF.match(text) for text in texts)
    else:
        assert ("猫" in cat["tags"], "人" in photographer["tags"], "火箭" in rocket["tags"]) == (True, True, True)
        assert cat["objects"][0]["type"] == "猫"
        assert TEXTS.isdisjoint(cat)  # it writes no Chinese
