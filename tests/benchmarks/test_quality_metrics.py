"""The measures of `benchmarks/quality.py` against hand-made cases and independent implementations."""

import itertools
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from caption_metrics import NounFinder, chair, longest_common_subsequence, rouge_l, template  # noqa: E402
from cider import CiderD  # noqa: E402
from detection_metrics import Counts, Thing, count_boxes, count_tags, interval, overlap  # noqa: E402

BOX = (10, 10, 20, 20)


def test_tags_that_are_no_coco_names_do_not_count():
    counts = count_tags(["cat", "tabby", "dog"], ["cat", "sink"], ["cat", "dog", "sink"])
    assert counts == Counts(hits=1, false_alarms=1, misses=1)
    assert counts.f1 == 0.5


@pytest.mark.parametrize(
    ("found", "annotated", "expected"),
    [
        ([Thing("cat", BOX)], [Thing("cat", BOX)], Counts(1, 0, 0)),
        ([Thing("dog", BOX)], [Thing("cat", BOX)], Counts(0, 1, 1)),
        ([Thing("cat", (10, 10, 20, 10))], [Thing("cat", BOX)], Counts(1, 0, 0)),  # exactly half
        ([Thing("cat", (10, 10, 20, 9))], [Thing("cat", BOX)], Counts(0, 1, 1)),
        ([Thing("cat", BOX)] * 2, [Thing("cat", BOX)], Counts(1, 1, 0)),  # one annotation is matched once
        ([], [Thing("cat", BOX, crowd=True)], Counts(0, 0, 0)),
        ([Thing("cat", (12, 12, 5, 5))], [Thing("cat", BOX, crowd=True)], Counts(0, 0, 0)),
        ([Thing("dog", (12, 12, 5, 5))], [Thing("cat", BOX, crowd=True)], Counts(0, 1, 0)),
        ([Thing("cat", (28, 10, 5, 5))], [Thing("cat", BOX, crowd=True)], Counts(0, 1, 0)),
        ([], [], Counts(0, 0, 0)),
    ],
)
def test_boxes_are_matched_by_name_and_overlap(found, annotated, expected):
    assert count_boxes(found, annotated) == expected


def test_the_surest_box_takes_the_annotation_that_it_overlaps_most():
    near, far = Thing("cat", (11, 10, 20, 20)), Thing("cat", (14, 10, 20, 20))
    assert count_boxes([Thing("cat", BOX), far], [far, near]) == Counts(2, 0, 0)


def test_overlap_is_shared_pixels_over_all_pixels():
    def pixels(box):
        return set(itertools.product(range(box[0], box[0] + box[2]), range(box[1], box[1] + box[3])))

    for other in [(0, 0, 5, 5), (15, 12, 30, 3), BOX, (30, 10, 4, 4), (0, 0, 60, 60)]:
        a, b = pixels(BOX), pixels(other)
        assert overlap(BOX, other) == pytest.approx(len(a & b) / len(a | b))


def test_the_interval_holds_the_measure_and_is_a_point_where_all_photos_agree():
    mixed = [Counts(1, 0, 0), Counts(0, 1, 1)] * 10
    low, high = interval(mixed, lambda counts: counts.f1)
    assert 0.2 < low < 0.5 < high < 0.8
    assert interval([Counts(1, 0, 0)] * 5, lambda counts: counts.f1) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Two women ride bikes.", {"person", "bicycle"}),
        ("A hot dog on a plate", {"hot dog"}),
        ("A dog, hot from the sun", {"dog"}),
        ("a roll of toilet paper", set()),
        ("a couple of buckets in a white room", set()),
        ("A couple of sheep near a fire hydrant", {"sheep", "fire hydrant"}),
        ("Teddy bears and a bear", {"teddy bear", "bear"}),
        ("PUPPIES watching television", {"dog", "tv"}),
        ("benches, buses and knives", {"bench", "bus", "knife"}),
        ("", set()),
    ],
)
def test_names_are_found_by_their_words(text, names):
    assert NounFinder().find(text) == names


def test_the_table_of_words_has_all_80_names_and_no_word_twice():
    lines = (BENCHMARKS / "coco_words.tsv").read_text().splitlines()
    names = [line.split("\t")[0] for line in lines]
    phrases = [phrase for line in lines for phrase in re.split("[\t,]", line)]
    assert len(set(names) - {"-"}) == 80
    assert len(phrases) == len(set(phrases))


def test_chair_is_the_share_of_names_that_are_not_there():
    assert chair([{"cat", "dog"}, {"sink"}, set()], [{"cat"}, {"sink", "toilet"}, {"bus"}]) == pytest.approx(1 / 3)
    assert chair([set()], [{"cat"}]) == 0


def naive_subsequence(a, b):
    subsequences = {c for size in range(len(b) + 1) for c in itertools.combinations(b, size)}
    sizes = [size for size in range(len(a) + 1) for c in itertools.combinations(a, size) if c in subsequences]
    return max(sizes)


@given(st.lists(st.sampled_from("abc"), max_size=7), st.lists(st.sampled_from("abc"), max_size=7))
def test_the_longest_common_subsequence_is_that_of_trying_all(a, b):
    assert longest_common_subsequence(a, b) == naive_subsequence(tuple(a), tuple(b))


def test_rouge_l_is_the_best_over_the_references():
    near, far = "A cat sat on the mat.", "nothing alike"
    # In common: a cat on mat, 4 of 5 and 6 words.
    assert rouge_l("a cat on a mat", [far, near]) == pytest.approx(2 * 4 / 11)
    assert rouge_l(near, [near]) == 1


def test_the_baseline_lists_what_was_seen_once():
    texts = template(["dog", "dog", "sink"], ["dog", "pug"])
    assert texts["description"] == "A photo of dog, sink and pug."
    assert template([], [])["description"] == "A photo of nothing that was recognised."


def test_the_script_measures_a_folder_of_annotated_photos(tmp_path):
    photos = BENCHMARKS.parent / "samples" / "photos"
    (tmp_path / "cat.jpg").write_bytes((photos / "cat.jpg").read_bytes())
    document = {
        "images": [{"id": 1, "file_name": "cat.jpg", "width": 451, "height": 300}],
        "categories": [{"id": 17, "name": "cat"}, {"id": 18, "name": "dog"}],
        "annotations": [{"image_id": 1, "category_id": 17, "bbox": [60, 0, 380, 300], "iscrowd": 0}],
        "captions": [{"image_id": 1, "caption": "A cat."}],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    command = [sys.executable, str(BENCHMARKS / "quality.py"), str(tmp_path), "--perception-only", "--json"]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    measures = json.loads(finished.stdout)
    assert measures["tag F1"] == 1
    assert measures["box F1 at overlap 0.5"] == 1
    assert measures["other tags a photo"] >= 1


# --- CIDEr-D ------------------------------------------------------------------------------------

CROWD = [
    ["a cat on a mat", "the cat sits on a mat"],
    ["a dog on a beach", "a dog runs along the beach"],
    ["a man rides a horse", "a rider on a horse"],
    ["a cup of coffee on a table", "an espresso in a cup"],
]


def naive_cider(text, captions, crowd):
    """CIDEr-D as the paper has it, written down without regard to speed."""

    def grams(tokens, n):
        return [" ".join(tokens[at : at + n]) for at in range(len(tokens) - n + 1)]

    def weight(gram, n, tokens):
        photos = sum(any(gram in grams(caption.split(), n) for caption in photo) for photo in crowd)
        return grams(tokens, n).count(gram) * (math.log(len(crowd)) - math.log(max(1, photos)))

    total = 0.0
    for caption in captions:
        said, written = text.split(), caption.split()
        for n in (1, 2, 3, 4):
            both = set(grams(said, n)) | set(grams(written, n))
            dot = sum(min(weight(gram, n, said), weight(gram, n, written)) * weight(gram, n, written) for gram in both)
            sizes = [math.sqrt(sum(weight(gram, n, tokens) ** 2 for gram in both)) for tokens in (said, written)]
            if all(sizes):
                total += dot / math.prod(sizes) * math.exp(-((len(said) - len(written)) ** 2) / 72) / 4
    return 10 * total / len(captions)


@pytest.mark.parametrize(
    "text", ["a cat on a mat", "the cat sits", "a dog", "coffee coffee coffee", "nothing of the kind", ""]
)
def test_cider_d_is_that_of_the_paper(text):
    cider = CiderD(CROWD)
    for photo in CROWD:
        assert cider.score(text, photo) == pytest.approx(naive_cider(text, photo, CROWD))


def test_what_people_wrote_scores_ten_and_words_of_all_photos_score_nothing():
    cider = CiderD(CROWD)
    assert cider.score("espresso in a small cup", ["espresso in a small cup"]) == pytest.approx(10)
    assert CiderD([["a b"], ["a c"]]).score("a", ["a"]) == 0


def test_saying_a_word_again_and_again_brings_no_more():
    cider = CiderD(CROWD)
    once, often = "a cat and a mat", "a cat cat cat mat"
    assert cider.score(often, CROWD[0]) <= cider.score(once, CROWD[0]) * 1.5
