"""Conversions of tiny random encoders, run by ONNX Runtime and judged by a plain numpy implementation."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from olpipe.convert.architectures import EMBEDDING_CONFIG
from olpipe.convert.encoder_package import check_encoder, convert_encoder
from olpipe.errors import ModelCorrupt, ModelUnsupported
from olpipe.testing.bert import LAYERS, MAX_TOKENS, POSITIONS, WIDTH, tiny_bert_tensors, write_tiny_bert
from olpipe.testing.float_bert import FloatBert

TEXTS = ("the dog", "", "a cat in the street, 12 dogs", "狗在街上", "x", "word " * 9)
PREFIXES = {"BertModel": "bert.", "RobertaModel": "roberta.", "XLMRobertaModel": "roberta."}


@pytest.fixture
def folder(tmp_path):
    return write_tiny_bert(tmp_path / "model")


def change_tensors(folder, change):
    """Write a model's weights anew, after a function had them in its hands."""
    tensors = load_file(folder / "model.safetensors")
    save_file(change(tensors) or tensors, folder / "model.safetensors")


def convert(folder, *, progress=lambda _: None):
    package = folder.with_name("package")
    package.mkdir()
    convert_encoder(folder, package, progress=progress)
    return package


def run(package, texts, *, padding=0):
    """Run texts as one padded batch through a package's graph; returns vectors of length 1."""
    session = onnxruntime.InferenceSession(str(package / "model.onnx"), providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(package / "tokenizer.json"))
    rows = [tokenizer.encode(text).ids for text in texts]
    ids = np.full((len(rows), max(map(len, rows)) + padding), 5, np.int32)  # 5 is a word like any other
    for row, tokens in zip(ids, rows, strict=True):
        row[: len(tokens)] = tokens
    lengths = np.array([len(row) for row in rows], np.int32)
    (vectors,) = session.run(None, {"input_ids": ids, "lengths": lengths})
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
@pytest.mark.parametrize("architecture", list(PREFIXES))
def test_vectors_are_those_of_the_float_model(tmp_path, architecture, pooling):
    folder = write_tiny_bert(tmp_path / "model", architecture=architecture, pooling=pooling)
    found, expected = run(convert(folder), TEXTS), FloatBert(folder).vectors(*TEXTS)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert len(np.unique(found.round(2), axis=0)) == len(TEXTS)


def test_every_choice_shows_in_the_vectors(tmp_path):
    def vectors(number, **options):
        return FloatBert(write_tiny_bert(tmp_path / str(number), **options)).vectors(*TEXTS)

    choices = [{"pooling": "mean"}, {"pooling": "cls"}, {"pooling": "max"}, {"architecture": "RobertaModel"}]
    found = [vectors(number, **options) for number, options in enumerate(choices)]
    for number, one in enumerate(found):
        for other in found[:number]:
            assert np.abs(one - other).max() > 0.05


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_what_fills_up_a_shorter_text_changes_nothing(tmp_path, pooling):
    package = convert(write_tiny_bert(tmp_path / "model", pooling=pooling))
    together = run(package, TEXTS)
    for text, vector in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(run(package, [text])[0], vector, atol=1e-6)
        np.testing.assert_allclose(run(package, [text], padding=7)[0], vector, atol=1e-6)


def test_weights_of_half_precision_are_widened(folder):
    def halve(tensors):
        return {name: values.astype(np.float16) for name, values in tensors.items()}

    change_tensors(folder, halve)
    np.testing.assert_allclose(run(convert(folder), TEXTS), FloatBert(folder).vectors(*TEXTS), atol=1e-5)


@pytest.mark.parametrize("architecture", list(PREFIXES))
def test_tensors_that_were_part_of_a_larger_model_have_a_prefix(tmp_path, architecture):
    folder = write_tiny_bert(tmp_path / "model", architecture=architecture)
    expected = FloatBert(folder).vectors(*TEXTS)
    prefix = PREFIXES[architecture]
    change_tensors(
        folder,
        lambda tensors: (
            {f"{prefix}{name}": values for name, values in tensors.items()}
            | {f"{prefix}pooler.dense.bias": np.zeros(WIDTH, np.float32)}
        ),
    )
    np.testing.assert_allclose(run(convert(folder), TEXTS), expected, atol=1e-5)


def test_what_vectors_do_not_need_is_passed_over(folder):
    def add(tensors):
        tensors["embeddings.position_ids"] = np.arange(POSITIONS)[None]
        tensors["pooler.dense.weight"] = np.full((WIDTH, WIDTH), np.nan, np.float32)
        tensors["pooler.dense.bias"] = np.zeros(WIDTH, np.float32)

    expected = FloatBert(folder).vectors(*TEXTS)
    change_tensors(folder, add)
    np.testing.assert_allclose(run(convert(folder), TEXTS), expected, atol=1e-5)


def test_every_tensor_is_reported(folder):
    reports = []
    convert(folder, progress=reports.append)
    total = len(tiny_bert_tensors())
    assert [(report.completed, report.total) for report in reports] == [(done, total) for done in range(total + 1)]


def test_a_package_says_how_long_texts_may_be_and_neither_cuts_nor_pads(folder):
    package = convert(folder)
    assert json.loads((package / EMBEDDING_CONFIG).read_text()) == {
        "graph": "model.onnx",
        "context_length": MAX_TOKENS,
        "dimensions": WIDTH,
        "pooling": "mean",
        "prompt": "",
    }
    tokenizer = json.loads((package / "tokenizer.json").read_text())
    assert (tokenizer["truncation"], tokenizer["padding"]) == (None, None)


@pytest.mark.parametrize("name", list(tiny_bert_tensors())[:6] + list(tiny_bert_tensors())[-2:])
def test_a_missing_tensor_is_refused_by_name(folder, name):
    change_tensors(folder, lambda tensors: {other: values for other, values in tensors.items() if other != name})
    with pytest.raises(ModelCorrupt, match=f"has no tensor `{name}`"):
        check_encoder(folder)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"encoder.layer.0.output.dense.weight": np.zeros((WIDTH, WIDTH), np.float32)},
            ModelCorrupt,
            r"tensor `encoder.layer.0.output.dense.weight` is \(32, 32\), not \(32, 64\)",
        ),
        (
            {f"encoder.layer.{LAYERS}.output.dense.bias": np.zeros(WIDTH, np.float32)},
            ModelUnsupported,
            "has a tensor `encoder.layer.2.output.dense.bias`, which a plain BERT encoder does not have",
        ),
        (
            {"linear\n\x1b.weight": np.zeros(1, np.float32)},
            ModelUnsupported,
            r"has a tensor `linear\\n\\x1b.weight`, which",
        ),
        (
            {"embeddings.LayerNorm.bias": np.zeros(WIDTH, np.int64)},
            ModelUnsupported,
            "stores `embeddings.LayerNorm.bias` as `I64`; F16, F32 are converted",
        ),
    ],
)
def test_a_tensor_of_another_kind_is_refused_by_name(folder, change, error, message):
    change_tensors(folder, lambda tensors: tensors | change)
    with pytest.raises(error, match=message):
        check_encoder(folder)


@pytest.mark.parametrize(
    ("value", "message"), [(np.nan, "values that are infinite or not numbers"), (1e20, "values that cannot be weights")]
)
def test_weights_are_read_by_the_conversion_only_and_checked_there(folder, value, message):
    name = "encoder.layer.1.attention.self.value.weight"

    def damage(tensors):
        tensors[name][3, 4] = value

    change_tensors(folder, damage)
    check_encoder(folder)
    with pytest.raises(ModelCorrupt, match=rf"is not a sound safetensors file: `{name}` holds {message}"):
        convert(folder)


def test_a_token_without_a_row_in_the_embedding_is_refused(folder):
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["zebra"] = 5000
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ModelCorrupt, match="has a token 5000, but only"):
        convert(folder)


@pytest.mark.parametrize("content", ["", "{}", '{"model": 3}', "[" * 100_000])
def test_a_damaged_tokenizer_is_one_clear_line(folder, content):
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(ModelCorrupt, match="has a tokenizer that cannot be read: ") as caught:
        convert(folder)
    assert "\n" not in caught.value.message
