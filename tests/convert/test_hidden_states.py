"""The output of converted decoders that embeddings are made of, against the plain float32 implementation."""

from __future__ import annotations

import numpy as np
import pytest

from olpipe.convert.package import convert_gguf
from olpipe.sessions import open_session
from olpipe.testing.float_decoder import FloatDecoder
from olpipe.testing.gguf import write_gguf
from olpipe.testing.models import tiny_metadata, tiny_tensors, vocabulary

TOKENS, MERGES = vocabulary()
TEXT_IDS = np.random.default_rng(5).integers(0, len(TOKENS), 40)
WIDTH = 64


@pytest.fixture(scope="module", params=["llama", "llama, tied embeddings", "qwen2"])
def gguf(tmp_path_factory, request):
    architecture, _, tied = request.param.partition(", ")
    tensors = tiny_tensors(len(TOKENS), 3, biases=architecture == "qwen2")
    if tied:
        del tensors["output.weight"]
    path = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    write_gguf(path, tiny_metadata(TOKENS, MERGES, 256, architecture=architecture), tensors)
    return path


def open_converted(gguf, folder, precision):
    folder.mkdir()
    convert_gguf(gguf, folder, precision=precision, progress=lambda _: None)
    return open_session(folder / "model.onnx", threads=1)


def run(session, ids, past=None):
    """Run tokens behind others; return the hidden states of all, the logits of the last, and the new past."""
    ids = np.atleast_2d(ids).astype(np.int64)
    names = [one.name for one in session.get_inputs() if one.name.startswith("past_key_values.")]
    past = past or {name: np.zeros((len(ids), 2, 0, 16), np.float32) for name in names}
    length = next(iter(past.values())).shape[2] + ids.shape[1]
    mask = np.ones((len(ids), length), np.int64)
    outputs = [one.name for one in session.get_outputs()]
    found = dict(zip(outputs, session.run(None, {"input_ids": ids, "attention_mask": mask, **past}), strict=True))
    present = {name: found[name.replace("past_key_values", "present")] for name in names}
    return found["hidden_states"], found["logits"], present


def relative_error(measured, expected):
    return np.linalg.norm(measured - expected) / np.linalg.norm(expected)


def test_every_token_has_its_hidden_states(gguf, tmp_path):
    expected = FloatDecoder(gguf).hidden(TEXT_IDS)
    hidden, _, _ = run(open_converted(gguf, tmp_path / "int8", "int8"), TEXT_IDS)
    assert hidden.shape == (1, len(TEXT_IDS), WIDTH)
    assert relative_error(hidden[0], expected) < 0.06
    assert max(relative_error(found, wanted) for found, wanted in zip(hidden[0], expected, strict=True)) < 0.12


def test_four_bits_are_close_and_eight_bits_closer(gguf, tmp_path):
    expected = FloatDecoder(gguf).hidden(TEXT_IDS)
    coarse, fine = (
        relative_error(run(open_converted(gguf, tmp_path / precision, precision), TEXT_IDS)[0][0], expected)
        for precision in ("int4", "int8")
    )
    assert fine < coarse / 3
    assert coarse < 0.5


def test_the_logits_are_the_projection_of_the_last_tokens_hidden_states(gguf, tmp_path):
    hidden, logits, _ = run(open_converted(gguf, tmp_path / "int8", "int8"), TEXT_IDS)
    assert logits.shape == (1, 1, len(TOKENS))
    assert relative_error(logits[0, 0], FloatDecoder(gguf).project(hidden[0, -1:])[0]) < 0.03


def test_tokens_behind_others_have_the_hidden_states_of_the_whole(gguf, tmp_path):
    session = open_converted(gguf, tmp_path / "int8", "int8")
    whole, _, _ = run(session, TEXT_IDS)
    first, _, past = run(session, TEXT_IDS[:25])
    second, _, _ = run(session, TEXT_IDS[25:], past)
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), whole, atol=1e-3)
