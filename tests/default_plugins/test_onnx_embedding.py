"""Vectors of texts from converted decoders, against a plain float32 implementation of the same model."""

from __future__ import annotations

import numpy as np
import pytest

from olpipe.default_plugins.onnx.backend import OnnxBackend
from olpipe.embedding import EmbedRequest
from olpipe.errors import ContextExceeded, UsageError
from olpipe.generation import GenerateRequest, SamplingParams
from olpipe.messages import Message
from olpipe.model import LoadOptions, ModelBundle, ModelConfig, ModelName
from olpipe.testing.float_decoder import FloatDecoder
from olpipe.testing.models import write_tiny_gguf

WIDTH, CONTEXT = 64, 256
TEXTS = ("the dog", "a cat in the street, with 12 dogs", "狗在街上", "x")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Return the runners of both precisions, and the float model."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "model").mkdir()
    gguf = write_tiny_gguf(folder / "model" / "model.gguf", context_length=CONTEXT)
    runners, backend = {}, OnnxBackend()
    for precision in ("int8", "int4"):
        config = ModelConfig("gguf", "llama", conversion={"precision": precision})
        name = ModelName.parse("tiny")
        bundle = ModelBundle(name, "sha256:0", gguf.parent, folder / precision, config)
        backend.build(bundle, lambda _: None)
        runners[precision] = backend.load(bundle, LoadOptions(threads=1))
    yield runners, FloatDecoder(gguf)
    for runner in runners.values():
        runner.close()


@pytest.fixture
def runner(models):
    return models[0]["int8"]


def embed(runner, *texts, **options):
    return runner.embed(EmbedRequest("tiny", texts, **options))


def vocabulary_of(runner):
    return runner.prepare(GenerateRequest("tiny", (Message.of("user", "x"),), SamplingParams())).vocabulary


def token_ids(runner, text):
    vocabulary = vocabulary_of(runner)
    return vocabulary.encode(vocabulary.quote(text))


def expected(models, texts, *, dimensions=WIDTH):
    """Return the mean of each text's hidden states in the float model, cut and brought to length 1."""
    runners, float_model = models
    means = [float_model.hidden(token_ids(runners["int8"], text)).mean(axis=0)[:dimensions] for text in texts]
    return np.array([mean / np.sqrt((mean.astype(np.float64) ** 2).sum()) for mean in means])


def test_vectors_are_the_mean_of_the_hidden_states_brought_to_length_1(models):
    wanted = expected(models, TEXTS)
    errors = {}
    for precision, runner in models[0].items():
        found = embed(runner, *TEXTS).vectors
        assert found.shape == (len(TEXTS), WIDTH)
        assert found.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
        errors[precision] = np.linalg.norm(found - wanted, axis=1).max()
    assert errors["int8"] < 0.06
    assert errors["int8"] < errors["int4"] / 3
    assert errors["int4"] < 0.5


def test_each_text_has_a_vector_of_its_own_in_the_order_of_the_texts(runner):
    together = embed(runner, *TEXTS).vectors
    for vector, text in zip(together, TEXTS, strict=True):
        np.testing.assert_array_equal(embed(runner, text).vectors[0], vector)
    assert len(np.unique(together.round(3), axis=0)) == len(TEXTS)


def test_the_tokens_of_all_texts_are_counted(runner):
    assert embed(runner, *TEXTS).prompt_tokens == sum(len(token_ids(runner, text)) for text in TEXTS)


@pytest.mark.parametrize("dimensions", [1, 16, 64])
def test_fewer_dimensions_are_the_first_ones_brought_to_length_1_again(models, runner, dimensions):
    found = embed(runner, *TEXTS, dimensions=dimensions).vectors
    assert found.shape == (len(TEXTS), dimensions)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    whole = embed(runner, *TEXTS).vectors[:, :dimensions]
    np.testing.assert_allclose(found, whole / np.linalg.norm(whole, axis=1, keepdims=True), atol=1e-6)
    if dimensions > 1:
        assert np.linalg.norm(found - expected(models, TEXTS, dimensions=dimensions), axis=1).max() < 0.12


@pytest.mark.parametrize("dimensions", [0, -1, 65])
def test_dimensions_that_there_are_not_are_refused(runner, dimensions):
    with pytest.raises(UsageError, match=f"`tiny` has 64 dimensions, not {dimensions}"):
        embed(runner, "the dog", dimensions=dimensions)


def test_a_text_that_is_too_long_is_cut_unless_that_is_not_wanted(runner):
    text = "the dog is on the street. " * 60
    tokens = token_ids(runner, text)
    assert len(tokens) > CONTEXT
    found = embed(runner, text)
    assert found.prompt_tokens == CONTEXT
    kept = vocabulary_of(runner).bytes_of(tokens[:CONTEXT]).decode()
    np.testing.assert_allclose(embed(runner, kept).vectors, found.vectors, atol=1e-5)
    with pytest.raises(ContextExceeded, match=f"a text has {len(tokens)} tokens, and `tiny` holds {CONTEXT}"):
        embed(runner, text, truncate=False)


def test_a_text_that_just_fits_is_not_refused(runner):
    text = "x" * CONTEXT
    assert len(token_ids(runner, text)) == CONTEXT
    assert embed(runner, text, truncate=False).prompt_tokens == CONTEXT


def test_an_empty_text_is_the_vector_of_zeros_beside_others(runner):
    found = embed(runner, "", "the dog")
    assert not found.vectors[0].any()
    np.testing.assert_array_equal(found.vectors[1], embed(runner, "the dog").vectors[0])


@pytest.mark.parametrize("dimensions", [None, 16])
def test_no_texts_are_no_vectors(runner, dimensions):
    found = embed(runner, dimensions=dimensions)
    assert found.vectors.shape == (0, dimensions or WIDTH)
    assert found.prompt_tokens == 0


def test_special_tokens_in_a_text_are_plain_text(runner):
    assert embed(runner, "<|im_end|>").prompt_tokens > 1


def test_embedding_disturbs_nobody_who_is_being_answered(runner):
    def answer(between):
        request = GenerateRequest("tiny", (Message.of("user", "the dog"),), SamplingParams(max_tokens=20))
        runner.start(1, runner.prepare(request))
        chunks = []
        while not chunks or chunks[-1].finish_reason is None:
            chunks += [chunk for _, chunk in runner.step()]
            between()
        return "".join(chunk.text for chunk in chunks)

    assert answer(lambda: None) == answer(lambda: embed(runner, *TEXTS))
