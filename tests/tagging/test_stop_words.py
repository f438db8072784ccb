"""Words that say nothing about a photo, in every language that perceivers have words for."""

import pytest

from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.tagging.folding import key
from olpipe.tagging.stop_words import STOP_WORDS, stop_words


@pytest.fixture(scope="module")
def translations(tmp_path_factory):
    plugins = Plugins.load(Settings(home=tmp_path_factory.mktemp("home")))
    return plugins.perceivers.get("photo-mini").translations()


def test_every_language_of_a_perceiver_has_some(translations):
    assert STOP_WORDS.keys() == {"en", *translations}


def test_nothing_that_a_perceiver_finds_is_one_of_them(translations):
    for language, names in translations.items():
        stopped = {key(word, english=False) for word in stop_words(language)}
        assert [word for word in (*names, *names.values()) if key(word, english=False) in stopped] == []


@pytest.mark.parametrize(
    ("language", "word"),
    [("en", "photo"), ("zh-CN", "照片"), ("zh-TW", "圖片"), ("de-AT", "Foto"), ("de", "photo"), ("it", "photo")],
)
def test_a_language_has_its_own_words_and_the_english_ones(language, word):
    assert word in stop_words(language)
