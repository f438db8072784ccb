"""The table of words in other languages: complete, well-formed, and each in the script of its language."""

import re
import unicodedata
from pathlib import Path

import pytest
from olpipe_photo_mini.labels import ClassifierLabels, detector_labels
from olpipe_photo_mini.perceiver import PhotoMini
from olpipe_photo_mini.tones import TONES
from olpipe_photo_mini.translations import translations
from olpipe_photo_mini.weights import DATA

from olpipe.languages import is_tag

SCRIPTS = {
    "zh-Hans": ("CJK",),
    "zh-Hant": ("CJK",),
    "ja": ("CJK", "HIRAGANA", "KATAKANA"),
    "ko": ("HANGUL",),
    "de": ("LATIN",),
    "fr": ("LATIN",),
    "es": ("LATIN",),
    "pt": ("LATIN",),
    "ru": ("CYRILLIC",),
    "ar": ("ARABIC",),
    "hi": ("DEVANAGARI",),
}
DOCS = Path(__file__).parents[3] / "docs"
LONGEST = 40  # characters that the shipped recipe leaves a tag


def rows():
    return [line.split("\t") for line in (DATA / "translations.tsv").read_text(encoding="utf-8").splitlines()]


def said():
    """Return every name that the perceiver can say."""
    table = ClassifierLabels.read()
    return {*detector_labels(), *table.names, *table.kinds, *table.places, *table.families, *table.groups, *TONES}


@pytest.mark.parametrize("language", SCRIPTS)
def test_every_name_that_can_be_said_has_a_word(language):
    assert translations()[language].keys() == said()


def test_the_page_on_languages_tells_how_many_names_have_a_word():
    page = (DOCS / "languages.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `(.+?)` \| .+? \| (\d+) \| all \|$", page, re.MULTILINE)
    assert table == [(language, str(len(words))) for language, words in translations().items()]
    assert f"can say {len(said())} names" in page


def test_the_table_is_a_rectangle_with_each_english_name_once():
    assert rows()[0] == ["en", *SCRIPTS]
    assert {len(row) for row in rows()} == {1 + len(SCRIPTS)}
    names = [row[0] for row in rows()]
    assert len(names) == len(set(names))
    assert all(is_tag(language) for language in SCRIPTS)


@pytest.mark.parametrize("language", SCRIPTS)
def test_words_are_composed_short_and_without_stray_spaces(language):
    words = translations()[language].values()
    assert [word for word in words if word != " ".join(word.split()) or not 0 < len(word) <= LONGEST] == []
    assert [word for word in words if not unicodedata.is_normalized("NFC", word)] == []


@pytest.mark.parametrize(("language", "scripts"), SCRIPTS.items())
def test_words_are_in_the_script_of_their_language(language, scripts):
    """Beside it only plain Latin letters, as in `CD` and `T` shirt."""

    def fits(word):
        letters = [letter for letter in word if letter.isalpha() and unicodedata.category(letter) != "Lm"]
        own = [letter for letter in letters if unicodedata.name(letter).startswith(scripts)]
        return own and all(letter in own or letter.isascii() for letter in letters)

    assert [word for word in translations()[language].values() if not fits(word)] == []


def test_german_nouns_are_capitalised():
    words = translations()["de"].values()
    assert [word for word in words if not any(part[0].isupper() for part in word.split())] == []


def test_simplified_and_traditional_chinese_differ_where_the_words_do():
    simplified, traditional = translations()["zh-Hans"], translations()["zh-Hant"]
    expected = {"car": ("汽车", "汽車"), "mouse": ("鼠标", "滑鼠"), "taxi": ("出租车", "計程車"), "cat": ("猫", "貓")}
    assert {name: (simplified[name], traditional[name]) for name in expected} == expected


@pytest.mark.parametrize(
    ("name", "language", "word"),
    [
        ("mouse", "de", "Computermaus"),
        ("crane", "de", "Kranich"),
        ("building crane", "de", "Kran"),
        ("bow", "fr", "arc"),
        ("tank", "ru", "танк"),
        ("kite", "de", "Drachen"),
        ("red kite", "de", "Rotmilan"),
        ("orange", "es", "naranja"),
        ("boxer", "zh-Hans", "拳师犬"),
        ("nail", "ja", "釘"),
        ("bench", "de", "Bank"),
        ("match", "ko", "성냥"),
        ("football", "ar", "كرة قدم"),
        ("pitcher", "hi", "सुराही"),
    ],
)
def test_words_of_several_senses_have_the_one_that_photos_show(name, language, word):
    assert PhotoMini().translations()[language][name] == word
