"""What the adapter is trained on: the recipe's prompt, answers that fit its schema, each text in its register."""

import json
import os
import random
import re
import subprocess
import sys

import pytest
from jsonschema import Draft202012Validator
from training import captions, detector, questions
from training.pairs import NOTHING, RECIPE_PROMPT, Photos, make_pairs, place

from olpipe.pipeline.recipe_file import read_recipe
from olpipe.record import Evidence

TEXTS = ("title", "description", "alt")

# Made up for this test: five captions a photo, all photos much alike so that their words are usual ones.
SUBJECTS = ("dog", "cat", "horse", "cow", "sheep", "bird")
WRITTEN = {
    str(number): [
        f"A black {subject} standing next to a wooden bench in a park.",
        f"There is a {subject} that is standing beside a bench.",
        f"A young man and his {subject} near a bench in the park.",
        f"A photo of a {subject} standing in the grass near a bench.",
        f"The {subject} is standing in a park near a tree and a bench.",
    ]
    for number, subject in enumerate(SUBJECTS * 10)
}


@pytest.fixture(scope="module")
def pairs():
    return list(make_pairs(WRITTEN, seed=3))


@pytest.fixture(scope="module")
def answers(pairs):
    return [json.loads(pair.answer) for pair in pairs if pair.answer.startswith("{")]


def test_one_seed_gives_the_same_pairs_and_another_seed_others(pairs):
    assert pairs == list(make_pairs(WRITTEN, seed=3))
    assert pairs != list(make_pairs(WRITTEN, seed=4))
    assert len(pairs) > len(WRITTEN) * 0.5


def test_one_seed_gives_the_same_pairs_in_every_process(tmp_path):
    (tmp_path / "captions.json").write_text(json.dumps({"captions": WRITTEN}), encoding="utf-8")
    command = [sys.executable, "-m", "training.pairs", str(tmp_path / "captions.json")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    printed = {
        subprocess.run(command, env={**environment, "PYTHONHASHSEED": seed}, check=True, capture_output=True).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1
    assert b'"alt"' in printed.pop()


def test_the_prompt_is_the_recipes(pairs):
    assert read_recipe("photo-tags").prompt == RECIPE_PROMPT
    asked = [pair.prompt for pair in pairs if pair.answer.startswith("{")]
    assert all(re.fullmatch(rf"{re.escape(RECIPE_PROMPT)}\nphoto: [^\n]+", prompt) for prompt in asked)


def test_every_answer_fits_what_the_recipe_leaves_to_the_model(answers):
    schema = dict(read_recipe("photo-tags").schema)
    schema["required"] = list(TEXTS)
    schema["properties"] = {name: schema["properties"][name] for name in TEXTS}
    for answer in (*answers, NOTHING):
        Draft202012Validator(schema).validate(answer)
        assert tuple(answer) == TEXTS


def test_answers_are_compact_json(pairs):
    for pair in pairs:
        if pair.answer.startswith("{"):
            assert pair.answer == json.dumps(json.loads(pair.answer), separators=(",", ":"))


def test_each_text_keeps_to_its_register_and_they_differ(answers):
    for answer in (*answers, NOTHING):
        assert 2 <= len(answer["title"].split()) <= captions.TITLE_WORDS
        assert not answer["title"].endswith(".")
        assert len({text.lower().rstrip(".") for text in answer.values()}) == 3
        for text in (answer["description"], answer["alt"]):
            assert text.endswith(".") and text[0].isupper() and text.count(".") == 1
            assert not re.search(r"\b(image|picture|photo) of\b", text, re.IGNORECASE)


def test_answers_name_nothing_that_the_evidence_lacks(pairs):
    photos = Photos(WRITTEN)
    for pair in pairs:
        if pair.answer.startswith("{"):
            line = pair.prompt.partition("\n")[2]
            assert photos._finder.find(pair.answer) <= photos._finder.find(line)


@pytest.mark.parametrize(
    ("written", "clean"),
    [
        ("A photo of a dog on a bed.", "a dog on a bed"),
        ("There are two old men sitting on a bench", "two people sitting on a bench"),
        ("This is a picture of an orange cat on a sofa", "a cat on a sofa"),
        ("A man and a woman riding a horse", "two people riding a horse"),
        ("A little boy holding his kite", "a child holding their kite"),
        ("A black and white dog near an open door", "a dog near an open door"),
        ("I think that this is a dog on a bed", None),
        ("A dog", None),
        ("A man looks at the camera in a room", None),
        ("A dog named Rex (left) on a bed", None),
    ],
)
def test_captions_lose_what_evidence_cannot_tell(written, clean):
    assert captions.clean(written) == clean


@pytest.mark.parametrize(
    ("caption", "title"),
    [
        ("a dog on a bed", "Dog on a bed"),
        ("a dog is sleeping on a bed", "Dog sleeping on a bed"),
        ("a dog sleeping on a bed next to a cat and a person", "Dog sleeping on a bed"),
        ("a dog on a bed, near a cat", "Dog on a bed"),
        ("the dog sleeps", None),
    ],
)
def test_a_title_is_the_beginning_of_a_caption_up_to_a_noun(caption, title):
    assert captions.title(caption, frozenset({"bed", "cat"})) == title


def test_evidence_is_degraded_as_a_detector_degrades_it():
    chance = random.Random(0)
    seen = [detector.detect({"dog": 1, "person": 6}, ["bench"], ["cup", "car"], [], chance) for _ in range(400)]
    named = [{label.name for label in evidence.tags} for evidence in seen]
    assert 0.8 < sum("dog" in names for names in named) / 400 < 0.92
    assert 0.2 < sum("bench" in names for names in named) / 400 < 0.6
    assert sum("cup" in names for names in named) > 60
    counts = {sum(one.label == "person" for one in evidence.objects) for evidence in seen}
    assert {0, 4, 5, 6, 7, 8} <= counts and max(counts) <= detector.MOST_OF_A_KIND
    for evidence in seen:
        for one in evidence.objects:
            assert one.box.x >= 0 and one.box.x + one.box.w <= detector.WIDTH
            assert one.box.y >= 0 and one.box.y + one.box.h <= detector.HEIGHT


@pytest.mark.parametrize(
    ("line", "text", "expected"),
    [
        ("photo: large dog (left), cup (right)", "a dog near a cup", ", the dog on the left"),
        ("photo: dog x2 (center), cup (right)", "two dogs near a cup", ", the dogs in the centre"),
        ("photo: maybe dog (left), cup (right)", "a dog near a cup", ", the cup on the right"),
        ("photo: nothing recognised", "a dog near a cup", ""),
    ],
)
def test_alt_texts_say_where_the_largest_sure_thing_is(line, text, expected):
    assert place(line, text) == expected


@pytest.mark.parametrize(
    ("seen", "is_written_of"),
    [
        ("maybe dog (right)", True),
        ("dog (right)", True),
        ("maybe small dog (right)", False),
        ("maybe dog", False),
        ("maybe large dog (left)", True),
    ],
)
def test_what_is_hardly_seen_is_not_written_of(seen, is_written_of):
    photos = Photos(WRITTEN)
    answer = photos.answer(photos.photos[0], f"photo: bench (left), {seen}")
    assert (answer is not None) == is_written_of
    assert not is_written_of or "dog" in answer["description"]


def test_questions_that_evidence_cannot_answer_get_an_honest_answer():
    chance = random.Random(0)
    replies = dict(questions.ask(Evidence(), "Nothing.", 640, chance) for _ in range(300))
    assert replies["what does the sign say?"] == questions.UNKNOWN
    assert replies["which animals are there?"] == "No animals were recognised."
    assert replies["how many people are there?"] == "No people were recognised."
    assert all(reply.startswith(("No", "That cannot")) for reply in replies.values())
