"""Tags become usable as a recipe says: in answers, and in what perceivers found."""

import pytest

from olpipe.image import Box
from olpipe.record import Detection, Evidence, Label
from olpipe.tagging.settings import Mode, Tagging
from olpipe.tagging.tagger import Tagger
from olpipe.tagging.vocabulary import Finder, Term, Vocabulary

PETS = Vocabulary(
    (
        Term("cat", ("kitty", "house cat"), (("zh-Hans", ("猫", "猫咪")), ("de", ("Katze",)))),
        Term("dogs", ("hound",), (("zh-Hans", ("狗",)),)),
        Term("wine glass"),
        Term("photo"),
    )
)
FOUND = Evidence(
    (Detection("cat", 0.9, Box(1, 2, 3, 4), ("tabby", "kitty", "pet")), Detection("cup", 0.8, Box(5, 6, 7, 8))),
    (Label("dog", 0.5), Label("Kitty", 0.9), Label("cat", 0.7), Label("sofa", 0.6)),
)


def tags(tagging, given, language="en", evidence=None):
    return Tagger(tagging, language).values({"tags": given}, evidence)["tags"]


@pytest.mark.parametrize(
    ("language", "word", "expected"),
    [
        ("en", "Cats", "cat"),
        ("en", "House-Cat", "cat"),
        ("en", "dog", "dogs"),
        ("en", "Wine Glasses", "wine glass"),
        ("en", "glasses", None),
        ("en", "猫咪", "cat"),
        ("en", "Katze", "cat"),
        ("zh-Hans", "kitties", "猫"),
        ("zh-CN", "猫咪", "猫"),
        ("zh-Hans", "dog", "狗"),
        ("zh-Hans", "wine glass", "wine glass"),  # it has no Chinese name
        ("de", "cat", "Katze"),
        ("en", "cathedral", None),
        ("en", "", None),
    ],
)
def test_a_word_means_a_term_in_any_language_of_the_vocabulary(language, word, expected):
    assert Finder(PETS, language)(word) == expected


def test_a_word_of_the_tags_own_language_counts_before_the_same_word_of_another():
    vocabulary = Vocabulary((Term("present", (), (("de", ("Geschenk",)),)), Term("poison", (), (("de", ("Gift",)),))))
    gift = Vocabulary((*vocabulary.terms, Term("gift", (), (("de", ("Präsent",)),))))
    assert (Finder(gift, "de")("gift"), Finder(gift, "en")("gift")) == ("Gift", "gift")


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (Mode.CLOSED, ["dogs", "cat", "photo"]),
        (Mode.MAP, ["dogs", "cat", "photo"]),
        (Mode.PREFER, ["dogs", "cat", "Tree", "photo"]),
    ],
)
def test_a_vocabulary_decides_how_tags_are_called_and_which_stay(mode, expected):
    given = ["Hound", "kitties", "Tree", "dog", "photos", "trees", "picture"]
    assert tags(Tagging(PETS, mode), given) == expected


@pytest.mark.parametrize(
    ("tagging", "language", "given", "expected"),
    [
        (Tagging(), "en", ["Dogs", "dog", "photo", "Image", "photo booth", ""], ["Dogs", "photo booth"]),
        (Tagging(), "zh-Hans", ["照片", "猫", "photo", "猫 "], ["猫"]),
        (Tagging(), "de", ["Foto", "Autos", "Auto"], ["Autos", "Auto"]),
        (Tagging(stop=("tree", "sky")), "en", ["Trees", "skies", "dog"], ["dog"]),
        (Tagging(PETS, Mode.MAP, stop=("cat",)), "en", ["kitty", "dog"], ["dogs"]),
        (Tagging(limit=2), "en", ["a1", "a2", "a3"], ["a1", "a2"]),
        (Tagging(fold=False), "en", ["Dogs", "dog", "DOG"], ["Dogs", "dog"]),
        (Tagging(synonyms=(("sofa", ("couch", "settee")),)), "en", ["Couches", "dog", "sofa"], ["sofa", "dog"]),
        (Tagging(PETS, Mode.MAP, synonyms=(("kitty", ("puss",)),)), "en", ["puss"], ["cat"]),
        (Tagging(PETS, Mode.MAP, synonyms=(("sofa", ("couch",)),)), "en", ["couch", "cat"], ["cat"]),
        (Tagging(PETS, Mode.PREFER, synonyms=(("sofa", ("couch",)),)), "en", ["couch", "cat"], ["sofa", "cat"]),
    ],
)
def test_tags_are_folded_stopped_renamed_and_limited(tagging, language, given, expected):
    assert tags(tagging, given, language) == expected


def test_tags_with_a_score_come_first_the_surest_before_the_others():
    evidence = Evidence((), (Label("cat", 0.4), Label("dog", 0.9)))
    assert tags(Tagging(), ["tree", "cats", "sky", "Dog"], evidence=evidence) == ["Dog", "cats", "tree", "sky"]
    assert tags(Tagging(limit=1), ["tree", "cats", "Dog"], evidence=evidence) == ["Dog"]


def test_evidence_gets_the_names_of_records_and_the_surest_of_equal_names_stays():
    written = Tagger(Tagging(PETS, Mode.PREFER), "en").evidence(FOUND, {})
    assert written.tags == (Label("cat", 0.9), Label("sofa", 0.6), Label("dogs", 0.5))
    assert [(thing.label, thing.tags) for thing in written.objects] == [("cat", ("tabby", "pet")), ("cup", ())]


def test_evidence_that_is_no_term_is_left_out_but_a_thing_with_a_box_keeps_its_name():
    translations = {"cat": "猫", "sofa": "沙发", "cup": "杯子", "tabby": "虎斑猫"}
    written = Tagger(Tagging(PETS), "zh-Hans").evidence(FOUND, translations)
    assert written.tags == (Label("猫", 0.9), Label("狗", 0.5))
    assert [(thing.label, thing.tags) for thing in written.objects] == [("猫", ()), ("杯子", ())]


def test_names_and_tags_of_objects_become_usable_too():
    thing = {"type": "Kitty", "tags": ["Hounds", "dog", "photo"], "x": 1}
    made = Tagger(Tagging(PETS, Mode.PREFER), "en").values({"objects": [thing], "title": "A kitty"}, None)
    assert made == {"objects": [{"type": "cat", "tags": ["dogs", "photo"], "x": 1}], "title": "A kitty"}


@pytest.mark.parametrize("value", [None, 3, {"tags": "dog"}, {"tags": [1, "dog"]}, {"tags": None}, [1]])
def test_what_is_no_list_of_texts_stays_as_it_is(value):
    assert Tagger(Tagging(), "en").values({"data": value}, None) == {"data": value}


def test_tags_in_an_answer_to_a_schema_of_ones_own_become_usable():
    made = Tagger(Tagging(), "en").values({"data": {"tags": ["dog", "Dogs"], "labels": ["dog", "Dogs"]}}, None)
    assert made == {"data": {"tags": ["dog"], "labels": ["dog", "Dogs"]}}
