"""What the adapter is trained on: the recipe's prompt, answers that fit its schema, each text in its register."""

import json
import os
import random
import re
import subprocess
import sys

import pytest
from jsonschema import Draft202012Validator
from olpipe_photo_mini.source import PROMPTS
from training import captions, detector, forms, questions
from training.agreement import agree
from training.answers import Answers, nothing
from training.consensus import Consensus
from training.detector import HEIGHT, WIDTH
from training.likeness import Likeness
from training.pairs import RECIPE_PROMPT, make_pairs
from training.photos import Photos

from olpipe.describing.recipe_file import read_recipe
from olpipe.image import Box
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
    return [
        json.loads(pair.answer) for pair in pairs if pair.answer.startswith('{"title":') and '"alt":' in pair.answer
    ]


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


def test_the_prompt_is_the_recipes_or_that_of_a_form(pairs):
    assert read_recipe("photo-tags").prompt == RECIPE_PROMPT
    asked = [pair.prompt.partition("\n") for pair in pairs if pair.answer.startswith("{")]
    assert {prompt for prompt, _, _ in asked} <= {RECIPE_PROMPT, *PROMPTS}
    assert sum(prompt == RECIPE_PROMPT for prompt, _, _ in asked) > 0.8 * len(asked)
    assert all(re.fullmatch(r"photo: [^\n]+", line) for _, _, line in asked)


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


def test_each_text_keeps_to_its_register(answers):
    for answer in (*answers, nothing(), nothing("at night")):
        assert 1 <= len(answer["title"].split()) <= captions.TITLE_WORDS
        assert not answer["title"].endswith(".")
        for text in (answer["description"], answer["alt"]):
            assert text.endswith(".") and text[0].isupper() and text.count(".") == 1
            assert not re.search(r"\b(image|picture|photo) of\b", text, re.IGNORECASE)
            assert not re.search(r"\bon the (left|right)\b|\bin the centre\b", text)


def test_answers_name_nothing_that_the_evidence_lacks(pairs, photos):
    for pair in pairs:
        if pair.answer.startswith("{"):
            line = pair.prompt.partition("\n")[2]
            texts = " . ".join(value for value in json.loads(pair.answer).values() if isinstance(value, str))
            assert photos.finder.find(texts) <= photos.finder.find(line)


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


def test_evidence_is_degraded_as_a_detector_degrades_it():
    chance = random.Random(0)
    seen = [detector.detect({"dog": 1, "person": 6}, ["bench"], ["cup", "car"], [], chance) for _ in range(400)]
    named = [{label.name for label in evidence.tags} for evidence in seen]
    assert 0.75 < sum("dog" in names for names in named) / 400 < 0.92
    assert 0.2 < sum("bench" in names for names in named) / 400 < 0.6
    assert sum("cup" in names for names in named) > 60
    counts = {sum(one.label == "person" for one in evidence.objects) for evidence in seen}
    assert {0, 4, 5, 6, 7, 8} <= counts and max(counts) <= detector.MOST_OF_A_KIND
    for evidence in seen:
        for one in evidence.objects:
            assert one.box.x >= 0 and one.box.x + one.box.w <= detector.WIDTH
            assert one.box.y >= 0 and one.box.y + one.box.h <= detector.HEIGHT


@pytest.mark.parametrize(
    ("text", "count", "agreed"),
    [
        ("a dog on a bed", 1, "a dog on a bed"),
        ("two dogs on a bed", 1, ""),
        ("a dog on a bed", 2, ""),
        ("two dogs on a bed", 3, "three dogs on a bed"),
        ("a couple of brown dogs on a bed", None, "several dogs on a bed"),
        ("a group of dogs on a bed", 2, "two dogs on a bed"),
        ("a group of dogs on a bed", None, "a group of dogs on a bed"),
        ("dogs on a bed", None, "several dogs on a bed"),
        ("a bed with dogs on it", None, "a bed with dogs on it"),
        ("some puppies on a bed", None, "several puppies on a bed"),
        ("a dog watching two dogs", 2, ""),
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
    return Answers(photos).answer


def test_a_description_says_what_was_found_and_where_most_people_see_it(answer):
    found = answer(seen(("dog", 1, 0.9, 0.2), ("bench", 1, 0.8, 0.1)))
    assert found["description"] == found["alt"] == "A dog and a bench in a park."


def test_what_no_caption_tells_is_put_into_plain_words(answer):
    found = answer(seen(("zebra", 3, 0.9, 0.2), ("cup", 1, 0.8, 0.1), ("tv", 1, 0.7, 0.05), ("bowl", 1, 0.7, 0.04)))
    assert found["title"] == "Three zebras, a cup and a television"
    assert found["description"] == "Three zebras with a cup and a television."
    assert found["alt"] == "Three zebras with a cup and a television, and a bowl."


def test_no_word_is_said_that_neither_the_evidence_nor_most_people_have(answer):
    for name in ("dog", "zebra", "tv"):
        texts = answer(seen((name, 1, 0.9, 0.2)))
        assert "tree" not in json.dumps(texts) and "man" not in json.dumps(texts).split()
    assert "park" in answer(seen(("dog", 1, 0.9, 0.2), ("bench", 1, 0.9, 0.2)))["description"]


@pytest.mark.parametrize(
    ("found", "is_written_of"),
    [
        (("dog", 1, 0.7, 0.1), True),
        (("dog", 1, 0.3, 0.1), False),
        (("dog", 1, 0.7, 0.001), False),
        (("dog", 1, 0.3, 0.24), False),
    ],
    ids=["sure", "unsure", "small", "unsure, though not small"],
)
def test_what_is_hardly_seen_is_not_written_of_beside_what_is_sure(answer, found, is_written_of):
    texts = answer(seen(("bench", 1, 0.9, 0.2), found))
    assert ("dog" in texts["alt"]) == is_written_of


def test_where_all_is_unsure_the_answer_says_so(answer):
    assert answer(seen(("dog", 1, 0.3, 0.1))) == {
        "title": "Perhaps a dog",
        "description": "Perhaps a dog, and nothing that is certain.",
        "alt": "Perhaps a dog.",
    }
    assert answer(Evidence()) == nothing()


def test_where_only_something_small_was_found_the_rest_is_said_to_be_unknown(answer):
    assert answer(seen(("zebra", 1, 0.9, 0.004))) == {
        "title": "Small zebra",
        "description": "A small zebra, and nothing else that was recognised.",
        "alt": "A small zebra, and nothing else that was recognised.",
    }
    airliner = Evidence(seen(("person", 1, 0.9, 0.004)).objects, (Label("airliner", 0.9),))
    assert answer(airliner)["title"] == "Airliner"


def test_scenes_and_the_night_are_told(answer):
    night = Evidence(seen(("zebra", 1, 0.9, 0.1)).objects, (Label("street", 0.7), Label("night", 0.9)))
    assert answer(night)["alt"] == "A zebra on a street at night."
    kitchen = {"title": "Kitchen", "description": "A kitchen.", "alt": "A kitchen."}
    assert answer(Evidence((), (Label("kitchen", 0.8),))) == kitchen
    assert answer(Evidence((), (Label("night", 0.9),))) == {
        "title": "Photo at night",
        "description": "A photo at night, in which nothing was recognised.",
        "alt": "A photo at night, in which nothing was recognised.",
    }


def test_a_name_that_means_the_same_as_a_box_is_not_said_again(answer):
    found = seen(("tennis racket", 1, 0.9, 0.2))
    assert answer(Evidence(found.objects, (Label("racket", 0.9),)))["alt"] == "A tennis racket."


def test_photos_with_the_same_things_are_the_likeliest_ones(photos):
    likeness = Likeness(photos)
    weights = likeness.weights(seen(("dog", 1, 0.9, 0.2)))
    shown = {index for index, photo in enumerate(photos.photos) if "dog" in photo.said}
    assert sum(weights[index] for index in shown) == pytest.approx(weights.sum()) == pytest.approx(1, abs=0.05)
    assert {"dog", "park", "bench"} <= likeness.usual(weights, 0.5)
    assert likeness.usual(weights, 0.5).isdisjoint({"tree", "man", "unheard"})


def test_photos_without_what_was_found_say_nothing_about_it(photos):
    assert not Likeness(photos).weights(seen(("zebra", 1, 0.9, 0.2))).any()


def test_numbers_make_photos_with_other_numbers_less_likely():
    photos = Photos({str(at): [f"{number} on a bed."] * 5 for at, number in enumerate(["A dog", "Two dogs"])})
    weights = Likeness(photos).weights(seen(("dog", 2, 0.9, 0.2)))
    assert weights[1] > 2 * weights[0]


def test_the_text_that_agrees_most_with_likely_captions_is_worth_most():
    photos = Photos({str(at): [text] * 5 for at, text in enumerate(["A dog on a bed.", "A cat on a sofa.", "A cup."])})
    weights = Likeness(photos).weights(seen(("dog", 1, 0.9, 0.2)))
    whole, part, other, unheard = Consensus(photos).worth(["a dog on a bed", "a dog", "a cup", "a zebra"], weights)
    assert whole > part > other >= unheard == 0


def test_a_form_holds_what_the_evidence_tells_and_no_more():
    chance, evidence = random.Random(0), seen(("dog", 1, 0.9, 0.2), ("person", 2, 0.9, 0.2))
    texts = {"title": "Dog", "description": "A dog.", "alt": "A dog!"}
    filled = [forms.fill(evidence, texts, chance) for _ in range(300)]
    assert {prompt for prompt, _ in filled} == set(PROMPTS)
    for _, document in filled:
        assert document.keys() & {key for keys in forms.TEXTS.values() for key in keys}
        for key, value in document.items():
            if key in forms.UNTOLD:
                assert value == forms.UNKNOWN
            elif isinstance(value, str):
                assert value in texts.values()
            else:
                assert value == (2 if "person_count" in key or "number" in key or key == "people" else True)


def test_questions_that_evidence_cannot_answer_get_an_honest_answer():
    chance = random.Random(0)
    replies = dict(questions.ask(Evidence(), "Nothing.", chance) for _ in range(300))
    assert replies["what does the sign say?"] == questions.UNKNOWN
    assert replies["which animals are there?"] == "No animals were recognised."
    assert replies["how many people are there?"] == "No people were recognised."
    assert all(reply.startswith(("No", "That cannot")) for reply in replies.values())
