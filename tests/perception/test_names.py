"""What perceivers saw, in the language of the record."""

import pytest

from olpipe.errors import PluginError, UsageError
from olpipe.image import Box
from olpipe.interfaces import Perceiver
from olpipe.perception.names import names_in
from olpipe.record import Detection, Evidence, Label


class Polyglot(Perceiver):
    """Sees nothing, in several languages."""

    name = "polyglot"
    version = "1"

    def __init__(self, **words):
        self.words = {language.replace("_", "-"): names for language, names in words.items()}

    def perceive(self, image):
        return Evidence()

    def translations(self):
        return self.words


BILINGUAL = Polyglot(de={"cat": "Katze", "couch": "Sofa", "sofa": "Sofa"}, zh_Hans={"cat": "猫"})


@pytest.mark.parametrize(("language", "word"), [("de", "Katze"), ("de-CH", "Katze"), ("zh-CN", "猫")])
def test_words_are_found_by_whatever_tag_means_their_language(language, word):
    assert names_in(language, [BILINGUAL])["cat"] == word


@pytest.mark.parametrize("language", ["en", "en-GB", "EN"])
def test_english_needs_no_words(language):
    assert names_in(language, [BILINGUAL]) == {}


def test_of_several_perceivers_the_first_that_knows_a_name_has_the_say():
    other = Polyglot(de={"cat": "Mieze", "cup": "Tasse"})
    assert names_in("de", [BILINGUAL, other]) == BILINGUAL.words["de"] | {"cup": "Tasse"}


def test_a_perceiver_that_lacks_a_language_that_others_bring_stays_english():
    assert names_in("zh", [BILINGUAL, Polyglot(de={"cup": "Tasse"}), Polyglot()]) == {"cat": "猫"}


def test_perceivers_that_bring_no_words_at_all_stay_english():
    assert names_in("it", [Polyglot()]) == names_in("it", []) == {}


@pytest.mark.parametrize(
    ("language", "hint"),
    [
        ("dk", "known: de, en, zh-Hans"),
        ("fr", "known: de, en, zh-Hans"),
    ],
)
def test_a_language_without_words_is_a_usage_error_with_those_that_have_some(language, hint):
    with pytest.raises(UsageError) as caught:
        names_in(language, [BILINGUAL])
    assert caught.value.message == f"there are no tags in `{language}`"
    assert caught.value.hint == hint


def test_a_perceiver_whose_translations_fail_is_told_with_its_name():
    class Mute(Polyglot):
        def translations(self):
            raise KeyError("de")

    with pytest.raises(PluginError, match=r"^the perceiver `polyglot` failed: KeyError: 'de'$"):
        names_in("de", [Mute()])


def test_translations_that_are_no_mapping_are_told_with_the_perceivers_name():
    class Listing(Polyglot):
        def translations(self):
            return ["de"]

    with pytest.raises(PluginError, match="failed: TypeError: its `translations` are a list where a mapping is"):
        names_in("de", [Listing()])


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ({"tags": ("cat",)}, r"`tags` of evidence is a tuple of `Label`, not of 'cat'"),
        ({"tags": [Label("cat", 1.0)]}, r"`tags` of evidence is a tuple of `Label`, not of \[Label"),
        ({"texts": ("EXIT",)}, r"`texts` of evidence is a tuple of `ReadText`, not of 'EXIT'"),
        ({"objects": (Box(1, 2, 3, 4),)}, r"`objects` of evidence is a tuple of `Detection`, not of Box"),
    ],
)
def test_evidence_of_other_types_is_refused_where_it_is_made(parts, problem):
    with pytest.raises(TypeError, match=problem):
        Evidence(**parts)


def test_evidence_is_renamed_and_what_became_equal_is_said_once():
    box = Box(1, 2, 3, 4)
    seen = Evidence(
        (Detection("couch", 0.9, box, ("sofa", "bed")), Detection("cat", 0.8, box)),
        (Label("couch", 0.9), Label("cat", 0.8), Label("sofa", 0.6), Label("bed", 0.5)),
    )
    assert seen.renamed(BILINGUAL.words["de"]) == Evidence(
        (Detection("Sofa", 0.9, box, ("bed",)), Detection("Katze", 0.8, box)),
        (Label("Sofa", 0.9), Label("Katze", 0.8), Label("bed", 0.5)),
    )
    assert seen.renamed({}) is seen
