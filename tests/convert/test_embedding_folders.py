"""What folders of sentence-transformers say, and those that are refused, by name and before a weight is read."""

from __future__ import annotations

import json
import struct

import pytest

from olpipe.convert.architectures import EMBEDDING_CONFIG
from olpipe.convert.encoder_package import check_encoder, convert_encoder
from olpipe.convert.sentence_folder import LONGEST_TEXT, context_length, text_limit
from olpipe.errors import ModelCorrupt, ModelUnsupported
from olpipe.testing.bert import MAX_TOKENS, POSITIONS, write_tiny_bert

ENCODER = {"path": "", "type": "sentence_transformers.models.Transformer"}
POOLING = {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
NORMALIZE = {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}
DENSE = {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}


@pytest.fixture
def folder(tmp_path):
    return write_tiny_bert(tmp_path / "model")


def change(folder, name, changes):
    """Change some keys of a JSON file; None removes one, and what is no object takes the file's place."""
    path = folder / name
    if isinstance(changes, dict):
        values = json.loads(path.read_text()) if path.is_file() else {}
        changes = {key: value for key, value in (values | changes).items() if value is not None}
    path.write_text(json.dumps(changes))


def package_of(folder):
    package = folder.with_name("package")
    package.mkdir(exist_ok=True)
    convert_encoder(folder, package, progress=lambda _: None)
    tokenizer = json.loads((package / "tokenizer.json").read_text())
    return json.loads((package / EMBEDDING_CONFIG).read_text()), tokenizer


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"architectures": ["MPNetModel"]}, ModelUnsupported, "has the architecture `MPNetModel`, which cannot be"),
        ({"architectures": ["BertForMaskedLM"]}, ModelUnsupported, "has the architecture `BertForMaskedLM`"),
        ({"architectures": None}, ModelUnsupported, "does not name one architecture"),
        ({"architectures": [["BertModel"]]}, ModelUnsupported, "does not name one architecture"),
        ({"hidden_act": "gelu_new"}, ModelUnsupported, "says `hidden_act` is `gelu_new`; only `gelu` is converted"),
        ({"position_embedding_type": "relative_key"}, ModelUnsupported, "is `relative_key`; only `absolute`"),
        ({"is_decoder": True}, ModelUnsupported, "says `is_decoder`: only encoders are converted"),
        ({"add_cross_attention": True}, ModelUnsupported, "says `add_cross_attention`: only encoders"),
        ({"hidden_size": None}, ModelCorrupt, "says `hidden_size` is nothing, not a size up to 65536"),
        ({"hidden_size": 33}, ModelCorrupt, "has a width of 33 for 4 heads"),
        ({"num_hidden_layers": 10**9}, ModelCorrupt, "says `num_hidden_layers` is `1000000000`, not a size up to 1024"),
        ({"num_hidden_layers": True}, ModelCorrupt, "says `num_hidden_layers` is `True`, not a size"),
        ({"vocab_size": "many\n" * 50}, ModelCorrupt, r"says `vocab_size` is `many\\nmany\\nmany"),
        ({"intermediate_size": [64]}, ModelCorrupt, "says `intermediate_size` is a list, not a size"),
        ({"layer_norm_eps": 0}, ModelCorrupt, "says `layer_norm_eps` is `0`, not a positive number"),
        ({"layer_norm_eps": float("nan")}, ModelCorrupt, "says `layer_norm_eps` is `nan`, not a positive number"),
        ({"hidden_act": {"a": 1}}, ModelCorrupt, "says `hidden_act` is an object, not a text"),
        ({"is_decoder": "no"}, ModelCorrupt, "says `is_decoder` is `no`, not `true` or `false`"),
        ({"architectures": ["RobertaModel"], "pad_token_id": 94}, ModelCorrupt, "does not fit into 95 positions"),
        ({"architectures": ["RobertaModel"], "pad_token_id": -1}, ModelCorrupt, "does not fit into 95 positions"),
        ([1], ModelCorrupt, "config.json` is not a JSON object"),
    ],
    ids=str,
)
def test_an_encoder_of_another_kind_is_refused(folder, changes, error, message):
    change(folder, "config.json", changes)
    with pytest.raises(error, match=message) as caught:
        check_encoder(folder)
    assert "\n" not in caught.value.message


def test_the_hint_says_what_is_converted(folder):
    change(folder, "config.json", {"architectures": ["MPNetModel"]})
    with pytest.raises(ModelUnsupported) as caught:
        check_encoder(folder)
    assert caught.value.hint == "these can be converted: BertModel, RobertaModel, XLMRobertaModel"


@pytest.mark.parametrize(
    ("modules", "error", "message"),
    [
        ([ENCODER, POOLING, DENSE], ModelUnsupported, "has the module `Dense`, which cannot be converted"),
        ([ENCODER, POOLING, NORMALIZE, NORMALIZE], ModelUnsupported, "an order that cannot be converted"),
        ([POOLING, ENCODER], ModelUnsupported, "has the modules Pooling, Transformer, an order"),
        ([ENCODER], ModelUnsupported, "has the modules Transformer, an order"),
        ([], ModelUnsupported, "has the modules none, an order"),
        ([ENCODER | {"path": "0_Transformer"}, POOLING], ModelUnsupported, "keeps the encoder in a folder of its own"),
        ([{"type": 3}, POOLING], ModelUnsupported, "has the module `3`"),
        ([ENCODER, POOLING | {"path": "../secret"}], ModelCorrupt, "names the folder `../secret`, not one like"),
        ([ENCODER, POOLING | {"path": "/etc"}], ModelCorrupt, "names the folder `/etc`"),
        ([ENCODER, POOLING | {"path": ".."}], ModelCorrupt, r"names the folder `\.\.`"),
        ([ENCODER, POOLING | {"path": None}], ModelCorrupt, "names the folder `None`"),
        ([ENCODER, POOLING | {"path": "9_Pooling"}], ModelCorrupt, "9_Pooling/config.json` cannot be read: No such"),
        ({"0": ENCODER}, ModelCorrupt, "modules.json` is not a list of modules"),
        ([ENCODER, "Pooling"], ModelCorrupt, "modules.json` is not a list of modules"),
    ],
)
def test_only_an_encoder_with_pooling_and_a_norm_is_converted(folder, modules, error, message):
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(error, match=message):
        check_encoder(folder)


def test_a_folder_that_does_not_say_how_it_pools_is_refused(folder):
    (folder / "modules.json").unlink()
    with pytest.raises(ModelUnsupported, match=r"has no `modules\.json`, which would say how a text's tokens become"):
        check_encoder(folder)


def test_a_norm_at_the_end_is_not_needed(folder):
    (folder / "modules.json").write_text(json.dumps([ENCODER, POOLING]))
    check_encoder(folder)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_newer_folders_name_their_modules_and_their_pooling_otherwise(folder, pooling):
    encoder = {"path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"}
    module = {"path": "1_Pooling", "type": "sentence_transformers.sentence_transformer.modules.pooling.Pooling"}
    (folder / "modules.json").write_text(json.dumps([encoder, module]))
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"embedding_dimension": 32, "pooling_mode": pooling}))
    assert package_of(folder)[0]["pooling"] == pooling


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pooling_mode_cls_token": True}, "pools by `cls` and `mean`, which cannot be converted"),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_lasttoken": True}, "pools by `lasttoken`"),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_mean_sqrt_len_tokens": True}, "`mean_sqrt_len_tokens`"),
        ({"pooling_mode": "weightedmean"}, "pools by `weightedmean`"),
        ({"pooling_mode": ["mean", "max"]}, "pools by `mean` and `max`"),
        ({"pooling_mode": [["mean"]]}, r"pools by `\['mean'\]`"),
    ],
)
def test_other_ways_to_pool_are_refused_by_name(folder, changes, message):
    change(folder, "1_Pooling/config.json", changes)
    with pytest.raises(ModelUnsupported, match=message):
        check_encoder(folder)


def test_a_prompt_is_put_before_texts_only_if_it_is_the_default(folder):
    prompts = {"query": "query: ", "document": "passage: "}
    change(folder, "config_sentence_transformers.json", {"prompts": prompts, "default_prompt_name": None})
    assert package_of(folder)[0]["prompt"] == ""
    change(folder, "config_sentence_transformers.json", {"default_prompt_name": "document"})
    assert package_of(folder)[0]["prompt"] == "passage: "


def test_a_prompt_that_is_missing_or_left_out_of_the_mean_is_refused(folder):
    change(folder, "config_sentence_transformers.json", {"prompts": {"a": "x"}, "default_prompt_name": "b"})
    with pytest.raises(ModelCorrupt, match="has no prompt `b`, although that is its default"):
        check_encoder(folder)
    change(folder, "config_sentence_transformers.json", {"default_prompt_name": "a"})
    change(folder, "1_Pooling/config.json", {"include_prompt": False})
    with pytest.raises(ModelUnsupported, match="leaves the prompt out of the mean"):
        check_encoder(folder)


def test_texts_are_put_in_lower_case_where_the_settings_say_so(folder):
    change(folder, "tokenizer.json", {"normalizer": {"type": "NFC"}})
    assert package_of(folder)[1]["normalizer"] == {"type": "NFC"}
    change(folder, "sentence_bert_config.json", {"do_lower_case": True})
    lower = {"type": "Lowercase"}
    assert package_of(folder)[1]["normalizer"] == {"type": "Sequence", "normalizers": [lower, {"type": "NFC"}]}


@pytest.mark.parametrize(
    ("settings", "tokenizer", "limit"),
    [
        ({"max_seq_length": 30}, {"model_max_length": 20}, 30),
        ({"max_seq_length": 5000}, {}, 5000),
        ({}, {"model_max_length": 20}, 20),
        ({}, {"model_max_length": 10**30}, None),
        ({}, {"model_max_length": "long"}, None),
        (None, None, None),
    ],
)
def test_the_limit_of_a_text_is_found_in_the_settings_or_the_tokenizer(tmp_path, settings, tokenizer, limit):
    for name, content in (("sentence_bert_config.json", settings), ("tokenizer_config.json", tokenizer)):
        if content is not None:
            (tmp_path / name).write_text(json.dumps(content))
    assert text_limit(tmp_path) == limit


def test_texts_are_never_longer_than_the_positions_and_what_attention_can_take(folder):
    assert package_of(folder)[0]["context_length"] == MAX_TOKENS < POSITIONS
    change(folder, "sentence_bert_config.json", {"max_seq_length": 5000})
    assert package_of(folder)[0]["context_length"] == POSITIONS
    assert context_length(8192, 8192) == context_length(8192, None) == LONGEST_TEXT


def test_texts_that_leave_no_room_for_a_word_are_refused(folder):
    change(folder, "sentence_bert_config.json", {"max_seq_length": 2})
    with pytest.raises(ModelCorrupt, match="allows texts of 2 tokens, which leaves no room for a word"):
        package_of(folder)


@pytest.mark.parametrize("name", ["config.json", "modules.json", "1_Pooling/config.json", "sentence_bert_config.json"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b" " * (5 << 20), "has more than 4194304 bytes"),
    ],
    ids=["cut", "bytes", "deep", "huge"],
)
def test_damaged_settings_are_one_clear_line(folder, name, content, message):
    (folder / name).write_bytes(content)
    with pytest.raises(ModelCorrupt, match=f"{name}` {message}"):
        check_encoder(folder)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is too short"),
        (struct.pack("<Q", 1 << 60) + b"{}", "it claims a header of 1152921504606846976 bytes in 10"),
        (struct.pack("<Q", 1 << 25) + b" " * (1 << 25), "it claims a header of 33554432 bytes in 33554440"),
        (struct.pack("<Q", 2) + b"{}", "has no tensor `embeddings.word_embeddings.weight`"),
        (struct.pack("<Q", 1) + b"[", "invalid JSON in header"),
    ],
    ids=["empty", "endless", "huge", "nothing", "no JSON"],
)
def test_damaged_weights_are_one_clear_line(folder, data, message):
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(ModelCorrupt, match=message):
        check_encoder(folder)


def test_weights_that_were_cut_short_are_refused(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-1])
    with pytest.raises(ModelCorrupt, match="is not a sound safetensors file: incomplete metadata, file not fully"):
        check_encoder(folder)


def test_a_folder_needs_a_tokenizer_of_a_reasonable_size(folder):
    with (folder / "tokenizer.json").open("r+b") as file:
        file.truncate(1 << 27)
    with pytest.raises(ModelCorrupt, match=r"tokenizer\.json` has more than 67108864 bytes"):
        check_encoder(folder)
    (folder / "tokenizer.json").write_bytes(b"\xff")
    with pytest.raises(ModelCorrupt, match=r"tokenizer\.json` is not UTF-8"):
        check_encoder(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelUnsupported, match=r"has no `tokenizer\.json`"):
        check_encoder(folder)
