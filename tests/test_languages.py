"""Tags of languages: their form, and which of several languages one means."""

import pytest

from olpipe.languages import choose, is_tag

KNOWN = ("en", "de", "pt", "zh-Hans", "zh-Hant")


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("de", "de"),
        ("DE", "de"),
        ("de-AT", "de"),
        ("pt-BR", "pt"),
        ("en-GB", "en"),
        ("zh", "zh-Hans"),
        ("zh-CN", "zh-Hans"),
        ("zh-SG", "zh-Hans"),
        ("zh-TW", "zh-Hant"),
        ("zh-HK", "zh-Hant"),
        ("zh-mo", "zh-Hant"),
        ("zh-hant", "zh-Hant"),
        ("zh-Hans-TW", "zh-Hans"),
        ("zh-Hant-CN", "zh-Hant"),
        ("it", None),
        ("deu", None),
    ],
)
def test_a_tag_means_the_finest_language_that_there_is(tag, language):
    assert choose(tag, KNOWN) == language


def test_a_language_that_names_no_script_is_found_by_tags_that_do():
    assert choose("zh-Hant", ("en", "zh")) == choose("zh-TW", ("zh",)) == "zh"
    assert choose("de", ("de-AT",)) is None


@pytest.mark.parametrize(
    ("text", "tag"),
    [("de", True), ("zh-Hans-TW", True), ("es-419", True), ("german", False), ("de_AT", False), ("", False)],
)
def test_the_form_of_a_tag_is_known(text, tag):
    assert is_tag(text) is tag
