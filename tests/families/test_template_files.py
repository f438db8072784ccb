"""The files in which model makers write a chat template down, in all the ways that they do."""

from __future__ import annotations

import json

import pytest

from olpipe.errors import ModelCorrupt
from olpipe.families.chat_template import PLAIN, ChatTemplate, TemplateFiles


@pytest.fixture
def read(tmp_path):
    """Return what writes files and reads them as a package's."""

    def read(config=None, **files):
        if config is not None:
            files["tokenizer_config.json"] = config
        for name, content in files.items():
            path = tmp_path / name.replace("__", "/").replace("_jinja", ".jinja").replace("_json", ".json")
            path.parent.mkdir(exist_ok=True)
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return TemplateFiles.read(tmp_path)

    return read


def named(**templates):
    return [{"name": name, "template": template} for name, template in templates.items()]


@pytest.mark.parametrize(
    ("config", "source", "tool_source"),
    [
        ({"chat_template": "one"}, "one", ""),
        ({"chat_template": named(default="one")}, "one", ""),
        ({"chat_template": named(rag="two", default="one", tool_use="three")}, "one", "three"),
        ({"chat_template": named(rag="two")}, "two", ""),
        ({"chat_template": {"default": "one", "tool_use": "three"}}, "one", "three"),
        ({"chat_template": None}, PLAIN, ""),
        ({"chat_template": ""}, PLAIN, ""),
        ({"chat_template": []}, PLAIN, ""),
        ({}, PLAIN, ""),
    ],
)
def test_the_configuration_has_one_template_or_several_with_names(read, config, source, tool_source):
    files = read(config)
    assert (files.source, files.tool_source) == (source, tool_source)


def test_a_file_of_its_own_counts_more_than_the_configuration(read):
    config = {"chat_template": named(default="old", tool_use="old tools")}
    assert read(config, chat_template_json={"chat_template": "newer"}).source == "newer"
    files = read(chat_template_jinja="{{ 'newest' }}\n")
    assert (files.source, files.tool_source) == ("{{ 'newest' }}\n", "old tools")


def test_further_templates_have_a_folder(read):
    files = read(chat_template_jinja="one", additional_chat_templates__tool_use_jinja="three")
    assert (files.source, files.tool_source) == ("one", "three")


def test_a_package_without_any_file_has_the_plain_template(read):
    assert read() == TemplateFiles(PLAIN, {}, adds_begin=False, is_plain=True)
    turns = [{"role": "user", "content": "Once"}, {"role": "user", "content": "upon a time"}]
    assert ChatTemplate(read().source).render(turns) == "Once\n\nupon a time"


def test_the_plain_template_begins_as_every_text_of_the_model_does(read):
    files = read({"add_bos_token": True, "bos_token": "<s>"})
    assert ChatTemplate(files.source, files.special_tokens).render([{"role": "user", "content": "Once"}]) == "<s>Once"


def test_special_tokens_are_texts_or_tables(read):
    config = {
        "bos_token": "<s>",
        "eos_token": {"__type": "AddedToken", "content": "</s>", "lstrip": False},
        "pad_token": None,
        "add_bos_token": True,
        "extra_special_tokens": {"image_token": "<image>", "boi_token": {"content": "<boi>"}},
        "model_max_length": 8192,
    }
    files = read(config)
    assert files.adds_begin
    assert files.special_tokens == {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "image_token": "<image>",
        "boi_token": "<boi>",
    }


def test_special_tokens_may_have_a_file_of_their_own_and_the_configuration_counts_more(read):
    tokens = {"eos_token": {"content": "old"}, "unk_token": {"content": "<unk>"}, "additional_special_tokens": ["<x>"]}
    files = read({"eos_token": "</s>", "extra_special_tokens": ["<y>"]}, special_tokens_map_json=tokens)
    assert files.special_tokens == {"eos_token": "</s>", "unk_token": "<unk>"}


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("{", "Expecting property name"),
        ([], "`tokenizer_config.json` is not a JSON object"),
        ({"chat_template": 7}, "`chat_template` is neither a text nor a list of texts with names"),
        ({"chat_template": [{"name": "default"}]}, "`template` is missing"),
        ({"chat_template": ["one"]}, "indices must be"),
        ({"chat_template": {"default": ["one"]}}, "`chat_template` is neither a text nor a list of texts with names"),
    ],
)
def test_damaged_files_are_told_in_one_line(read, config, reason, tmp_path):
    with pytest.raises(ModelCorrupt) as caught:
        read(config)
    assert caught.value.message.startswith(f"the chat template in `{tmp_path}` cannot be read: ")
    assert reason in caught.value.message
    assert "\n" not in caught.value.message


def test_a_template_that_is_no_text_is_damage(tmp_path):
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelCorrupt, match="cannot be read"):
        TemplateFiles.read(tmp_path)
