import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe.errors import InvalidName
from olpipe.model import ModelConfig, ModelName

NAMES = [
    ("photo-mini", "registry.ollama.ai", "library", "photo-mini", "latest", "photo-mini:latest"),
    ("photo-mini:1b", "registry.ollama.ai", "library", "photo-mini", "1b", "photo-mini:1b"),
    ("me/photos", "registry.ollama.ai", "me", "photos", "latest", "me/photos:latest"),
    ("example.com/me/photos:q4_0", "example.com", "me", "photos", "q4_0", "example.com/me/photos:q4_0"),
    ("localhost:5000/me/photos", "localhost:5000", "me", "photos", "latest", "localhost:5000/me/photos:latest"),
    ("registry.ollama.ai/library/a:b", "registry.ollama.ai", "library", "a", "b", "a:b"),
    ("library/a", "registry.ollama.ai", "library", "a", "latest", "a:latest"),
]

NOT_NAMES = [
    "", " ", ":", "/", "a:", ":a", "a//b", "/a", "a/", "../a", "a/..", "a:..", "..", ".hidden", "a b", "a\n", "a\0",
    "a\\b", "a/b/c/d", "-a", "a:b:c", "a@b", "ä", "a" * 81, "a:" + "b" * 81, "a.b/c", "C:\\x", "./a", "h/n.s/m",
]  # fmt: skip


@pytest.mark.parametrize(("text", "host", "namespace", "model", "tag", "shown"), NAMES)
def test_a_name_is_read_with_its_defaults_and_shown_at_its_shortest(text, host, namespace, model, tag, shown):
    assert ModelName.parse(text) == ModelName(host, namespace, model, tag)
    assert str(ModelName.parse(text)) == shown


@pytest.mark.parametrize("text", NOT_NAMES)
def test_what_is_no_name_is_refused_with_its_text(text):
    with pytest.raises(InvalidName) as caught:
        ModelName.parse(text)
    assert f"`{text}`" in caught.value.message
    assert caught.value.hint == "names look like `namespace/model:tag`"


@given(st.text(alphabet="aB0._-:/\\ \0\n~", max_size=30) | st.text(max_size=30))
def test_every_text_is_refused_or_becomes_four_safe_folder_names(text):
    try:
        name = ModelName.parse(text)
    except InvalidName:
        return
    for part in (name.host, name.namespace, name.model, name.tag):
        assert part not in ("", ".", "..")
        assert not set(part) & set("/\\\0\n ~")
    assert ModelName.parse(str(name)) == name


def test_a_model_writes_the_languages_that_it_names_and_any_where_it_names_none():
    assert ModelConfig().writes("sw")
    english = ModelConfig(languages=("en", "zh-Hans"))
    assert [english.writes(tag) for tag in ("en", "en-GB", "zh", "zh-TW", "de")] == [True, True, True, False, False]
