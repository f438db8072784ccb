"""Encoders in GGUF files: the same weights as in a folder give the same vectors."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import pytest
from tokenizers import Tokenizer

from olpipe.convert.architectures import EMBEDDING_CONFIG
from olpipe.convert.encoder_package import check_encoder, convert_encoder, is_encoder
from olpipe.errors import ModelCorrupt, ModelUnsupported
from olpipe.testing.bert import (
    FEED_FORWARD,
    HEADS,
    LAYERS,
    MAX_TOKENS,
    SPECIAL_TOKENS,
    VOCABULARY,
    WIDTH,
    tiny_bert_tensors,
    write_tiny_bert,
)
from olpipe.testing.float_bert import FloatBert
from olpipe.testing.gguf import write_gguf
from olpipe.testing.models import write_tiny_gguf

TEXTS = ("The dog", "", "a Cat in the street, 12 dogs", "狗在街上", "[SEP] é zoo [PAD]", "word " * 9)

# Source: https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/tensor_mapping.py
NAMES = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
}
for layer in range(LAYERS):
    NAMES |= {
        f"encoder.layer.{layer}.attention.self.query": f"blk.{layer}.attn_q",
        f"encoder.layer.{layer}.attention.self.key": f"blk.{layer}.attn_k",
        f"encoder.layer.{layer}.attention.self.value": f"blk.{layer}.attn_v",
        f"encoder.layer.{layer}.attention.output.dense": f"blk.{layer}.attn_output",
        f"encoder.layer.{layer}.attention.output.LayerNorm": f"blk.{layer}.attn_output_norm",
        f"encoder.layer.{layer}.intermediate.dense": f"blk.{layer}.ffn_up",
        f"encoder.layer.{layer}.output.dense": f"blk.{layer}.ffn_down",
        f"encoder.layer.{layer}.output.LayerNorm": f"blk.{layer}.layer_output_norm",
    }


def phantom(token):
    """Write a token as these files do: a mark where a word begins instead of two where it goes on."""
    if token in SPECIAL_TOKENS:
        return token
    return token.removeprefix("##") if token.startswith("##") else f"▁{token}"


METADATA = {
    "general.architecture": "bert",
    "bert.block_count": LAYERS,
    "bert.context_length": MAX_TOKENS,
    "bert.embedding_length": WIDTH,
    "bert.feed_forward_length": FEED_FORWARD,
    "bert.attention.head_count": HEADS,
    "bert.attention.layer_norm_epsilon": 1e-12,
    "bert.attention.causal": False,
    "bert.pooling_type": 1,
    "tokenizer.ggml.model": "bert",
    "tokenizer.ggml.tokens": [phantom(token) for token in VOCABULARY],
    "tokenizer.ggml.token_type": [3 if token in SPECIAL_TOKENS else 1 for token in VOCABULARY],
    "tokenizer.ggml.cls_token_id": 0,
    "tokenizer.ggml.seperator_token_id": 2,
    "tokenizer.ggml.unknown_token_id": 3,
}


def write(path, *, without=(), tensors=None, **metadata):
    """Write the tiny encoder as a GGUF file; keys of the metadata have `__` for their dots."""
    stored = {}
    for name, values in tiny_bert_tensors().items():
        place, _, kind = name.rpartition(".")
        stored[f"{NAMES[place]}.{kind}"] = values
    changed = METADATA | {key.replace("__", "."): value for key, value in metadata.items()}
    stored |= tensors or {}
    for name in without:
        changed.pop(name, None)
        stored.pop(name, None)
    write_gguf(path, changed, stored)
    return path


def package_of(gguf):
    package = gguf.with_suffix(".package")
    package.mkdir()
    convert_encoder(gguf, package, progress=lambda _: None)
    return package


def token_ids(package, text):
    return Tokenizer.from_file(str(package / "tokenizer.json")).encode(text).ids


def vectors(package, texts):
    session = onnxruntime.InferenceSession(str(package / "model.onnx"), providers=["CPUExecutionProvider"])
    rows = []
    for text in texts:
        ids = np.array([token_ids(package, text)], np.int32)
        rows.append(session.run(None, {"input_ids": ids, "lengths": np.array([ids.shape[1]], np.int32)})[0][0])
    return np.array(rows) / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize(("number", "pooling"), [(1, "mean"), (2, "cls")])
def test_vectors_are_those_of_the_same_weights_in_a_folder(tmp_path, number, pooling):
    package = package_of(write(tmp_path / "tiny.gguf", bert__pooling_type=number))
    folder = write_tiny_bert(tmp_path / "folder", pooling=pooling)
    np.testing.assert_allclose(vectors(package, TEXTS), FloatBert(folder).vectors(*TEXTS), atol=1e-5)
    described = json.loads((package / EMBEDDING_CONFIG).read_text())
    assert (described["context_length"], described["pooling"]) == (MAX_TOKENS, pooling)


def test_a_vocabulary_with_capitals_leaves_texts_as_they_are(tmp_path):
    tokens = [phantom(token) for token in VOCABULARY]
    small = package_of(write(tmp_path / "small.gguf"))
    assert token_ids(small, "The") == token_ids(small, "the")
    tokens[tokens.index("▁photo")] = "▁The"
    cased = package_of(write(tmp_path / "cased.gguf", tokenizer__ggml__tokens=tokens))
    assert token_ids(cased, "The") == [0, tokens.index("▁The"), 2]
    assert token_ids(cased, "the") == [0, tokens.index("▁the"), 2]


def test_older_files_call_the_special_tokens_otherwise_and_have_no_token_types(tmp_path):
    older = {"tokenizer.ggml.cls_token_id", "tokenizer.ggml.seperator_token_id", "tokenizer.ggml.token_type"}
    names = {"tokenizer__ggml__bos_token_id": 0, "tokenizer__ggml__eos_token_id": 2}
    package = package_of(write(tmp_path / "tiny.gguf", without=older, **names))
    assert token_ids(package, "the [SEP] dog") == token_ids(package_of(write(tmp_path / "new.gguf")), "the [SEP] dog")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"bert__pooling_type": 3}, ModelUnsupported, "says `bert.pooling_type` is 3, which cannot be converted"),
        ({"without": ["bert.pooling_type"]}, ModelUnsupported, "says `bert.pooling_type` is None"),
        ({"bert__attention__causal": True}, ModelUnsupported, "has causal attention"),
        ({"bert__block_count": 0}, ModelCorrupt, "says `bert.block_count` is `0`, not a size up to 1024"),
        ({"bert__attention__head_count": 5}, ModelCorrupt, "has a width of 32 for 5 heads"),
        (
            {"bert__feed_forward_length": 60},
            ModelCorrupt,
            r"tensor `blk.0.ffn_up.weight` is \(64, 32\), not \(60, 32\)",
        ),
        ({"without": ["token_types.weight"]}, ModelCorrupt, "has no tensor `token_types.weight`"),
        ({"without": ["blk.1.ffn_up.bias"]}, ModelCorrupt, "has no tensor `blk.1.ffn_up.bias`"),
        (
            {"tensors": {"blk.0.ffn_gate.weight": np.zeros((64, 32), np.float32)}},
            ModelUnsupported,
            "has a tensor `blk.0.ffn_gate.weight`, which a plain BERT encoder does not have",
        ),
        ({"tokenizer__ggml__model": "t5"}, ModelUnsupported, "has a tokenizer `t5`; only `bert` is converted"),
        ({"tokenizer__ggml__tokens": ["▁a", "▁a"] * 5}, ModelCorrupt, "has 10 tokens, but not as many token types"),
        ({"without": ["tokenizer.ggml.tokens"]}, ModelCorrupt, "has no list of texts `tokenizer.ggml.tokens`"),
        ({"tokenizer__ggml__unknown_token_id": 5000}, ModelCorrupt, "has no token 5000, its `unk` token"),
        ({"without": ["tokenizer.ggml.cls_token_id"]}, ModelCorrupt, "has no token None, its `cls` token"),
    ],
    ids=str,
)
def test_a_file_of_another_kind_is_refused_before_its_weights_are_read(tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        check_encoder(write(tmp_path / "tiny.gguf", **changes))


def test_the_same_token_twice_is_refused(tmp_path):
    tokens = [phantom(token) for token in VOCABULARY]
    tokens[20] = tokens[21]
    with pytest.raises(ModelCorrupt, match="has the same token twice"):
        check_encoder(write(tmp_path / "tiny.gguf", tokenizer__ggml__tokens=tokens))


def test_encoders_are_told_from_decoders(tmp_path):
    assert is_encoder(write(tmp_path / "tiny.gguf"))
    assert not is_encoder(write_tiny_gguf(tmp_path / "llama.gguf"))
