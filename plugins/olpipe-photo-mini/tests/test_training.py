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
from training.agreement import agree, trim
from training.answers import Answers, nothing
from training.detector import HEIGHT, WIDTH
from training.pairs import RECIPE_PROMPT, make_pairs
from training.photos import Photos

from olpipe.image import Box
from olpipe.pipeline.recipe_file import read_recipe
from olpipe.record import Detection, Evidence, Label

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


@pytest.fixture(scope="module")
def photos():
    return Photos(WRITTEN)


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
    for answer in (*answers, nothing(), nothing("at night")):
        Draft202012Validator(schema).validate(answer)
        assert tuple(answer) == TEXTS


def test_answers_are_compact_json(pairs):
    for pair in pairs:
        if pair.answer.startswith("{"):
            assert pair.answer == json.dumps(json.loads(pair.answer), separators=(",", ":"))


def test_each_text_keeps_to_its_register_and_they_differ(answers):
    for answer in (*answers, nothing(), nothing("at night")):
        assert 1 <= len(answer["title"].split()) <= captions.TITLE_WORDS
        assert not answer["title"].endswith(".")
        assert len({text.lower().rstrip(".") for text in answer.values()}) == 3
        for text in (answer["description"], answer["alt"]):
            assert text.endswith(".") and text[0].isupper() and text.count(".") == 1
            assert not re.search(r"\b(image|picture|photo) of\b", text, re.IGNORECASE)


def test_answers_name_nothing_that_the_evidence_lacks(pairs, photos):
    for pair in pairs:
        if pair.answer.startswith("{"):
            line = pair.prompt.partition("\n")[2]
            assert photos.finder.find(pair.answer) <= photos.finder.find(line)


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


NOUNS = frozenset(["dog", "dogs", "bed", "hat", "kite", "beach", "field"])


@pytest.mark.parametrize(
    ("caption", "trimmed"),
    [
        ("a dog sitting on a bed", "a dog sitting"),
        ("a dog sitting on a bed with a kite", "a dog sitting with a kite"),
        ("a dog is sitting next to a kite", "a dog sitting next to a kite"),
        ("a dog wearing a hat", "a dog"),
        ("a dog looking at a bed", "a dog"),
        ("a dog with a frobnicator", "a dog"),
        ("a bed with a dog", ""),
        ("two dogs and a bed in a field", "two dogs in a field"),
    ],
)
def test_captions_lose_phrases_that_say_more_than_the_evidence(caption, trimmed):
    assert trim(caption, NOUNS, {"dog", "dogs", "kite", "field"}) == trimmed


@pytest.mark.parametrize(
    ("text", "count", "agreed"),
    [
        ("a dog on a bed", 1, "a dog on a bed"),
        ("two dogs on a bed", 1, ""),
        ("a dog on a bed", 2, ""),
        ("two dogs on a bed", 3, "three dogs on a bed"),
        ("a couple of brown dogs on a bed", 4, "four dogs on a bed"),
        ("a group of dogs on a bed", 2, "two dogs on a bed"),
        ("a group of dogs on a bed", 7, "a group of dogs on a bed"),
        ("dogs on a bed", 5, "several dogs on a bed"),
        ("a bed with dogs on it", 5, "a bed with dogs on it"),
        ("some puppies on a bed", 9, "many puppies on a bed"),
    ],
)
def test_captions_say_as_many_as_the_evidence(text, count, agreed):
    assert agree(text, {"dog": count}, {"dog": ("dog", "puppy")}) == agreed


def seen(*found):
    """Return evidence of things side by side: a name, a number, a score, a share of the photo."""
    objects = [
        Detection(name, score, Box(at * WIDTH // 4, 0, WIDTH // 4, round(4 * share * HEIGHT / count)))
        for at, (name, count, score, share) in enumerate(found)
        for _ in range(count)
    ]
    return Evidence(tuple(objects), tuple(Label(one.label, one.score) for one in objects))


@pytest.fixture(scope="module")
def answer(photos):
    def answer(evidence, photo=0):
        return Answers(photos).answer(photos.photos[photo], evidence)

    return answer


def test_a_description_says_with_a_caption_what_was_found(answer):
    found = answer(seen(("dog", 1, 0.9, 0.2), ("bench", 1, 0.8, 0.1)))
    assert re.search(r"dog .*standing .*bench", found["description"])
    assert found["alt"] == "A dog standing on the left, a bench in the centre."


def test_what_no_caption_tells_is_put_into_plain_words(answer):
    found = answer(seen(("horse", 3, 0.9, 0.2), ("cup", 1, 0.8, 0.1), ("tv", 1, 0.7, 0.05)))
    assert found["title"] == "Three horses at left and a cup"
    assert found["description"] == "Three horses in a park, with a cup and a television."
    assert found["alt"] == "Three horses standing on the left, a cup and a television in the centre."


@pytest.mark.parametrize(
    ("found", "is_written_of"),
    [
        (("dog", 1, 0.5, 0.1), True),
        (("dog", 1, 0.3, 0.1), False),
        (("dog", 1, 0.5, 0.001), False),
        (("dog", 1, 0.3, 0.24), False),
    ],
    ids=["sure", "unsure", "small", "unsure, though not small"],
)
def test_what_is_hardly_seen_is_not_written_of_beside_what_is_sure(answer, found, is_written_of):
    texts = answer(seen(("bench", 1, 0.9, 0.2), found))
    assert ("dog" in texts["alt"]) == is_written_of


def test_where_all_is_unsure_the_answer_says_so(answer):
    assert answer(seen(("dog", 1, 0.3, 0.1))) == {
        "title": "Perhaps a dog at left",
        "description": "Perhaps a dog in a park.",
        "alt": "On the left, perhaps a dog.",
    }
    assert answer(Evidence()) == nothing()


def test_scenes_and_the_night_are_told(answer):
    night = Evidence(seen(("dog", 1, 0.9, 0.1)).objects, (Label("street", 0.6), Label("night", 0.9)))
    texts = answer(night, photo=1)
    assert texts["alt"] == "A dog standing on the left, on a street, at night."
    assert "at night" in texts["description"] and "at night" in texts["title"]
    assert answer(Evidence((), (Label("kitchen", 0.8),))) == {
        "title": "Kitchen",
        "description": "Nothing but a kitchen could be recognised in this photo.",
        "alt": "Nothing but a kitchen.",
    }
    assert answer(Evidence((), (Label("night", 0.9),)))["title"] == "Unrecognised photo at night"


def test_titles_say_where_the_largest_thing_is_and_how_near(answer):
    assert answer(seen(("zebra", 2, 0.9, 0.2), ("cup", 1, 0.9, 0.1)))["title"] == "Two zebras at left and a cup"
    assert answer(seen(("zebra", 1, 0.9, 0.1), ("cup", 1, 0.9, 0.2)))["title"] == "Cup at centre and a zebra"
    assert answer(seen(("zebra", 1, 0.9, 0.24)))["title"] == "Zebra at left"
    assert answer(seen(("zebra", 1, 0.9, 0.4)))["title"] == "Zebra close up at left"


def test_questions_that_evidence_cannot_answer_get_an_honest_answer():
    chance = random.Random(0)
    replies = dict(questions.ask(Evidence(), "Nothing.", 640, chance) for _ in range(300))
    assert replies["what does the sign say?"] == questions.UNKNOWN
    assert replies["which animals are there?"] == "No animals were recognised."
    assert replies["how many people are there?"] == "No people were recognised."
    assert all(reply.startswith(("No", "That cannot")) for reply in replies.values())
