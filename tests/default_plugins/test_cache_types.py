"""The KV cache in eight and in four bits: it takes less memory, and no answer depends on who else is at work."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from olpipe.default_plugins.onnx.backend import OnnxBackend, package_folder
from olpipe.default_plugins.onnx.cache import Cache
from olpipe.default_plugins.onnx.cache_types import CACHE_TYPES, open_decoder
from olpipe.default_plugins.packages import TextPackage
from olpipe.embedding import EmbedRequest
from olpipe.generation import Chunk, GenerateRequest, SamplingParams
from olpipe.messages import Message
from olpipe.model import FULL_CACHE, LoadOptions, ModelBundle, ModelConfig, ModelName
from olpipe.store.library import Library
from olpipe.testing.models import write_tiny_gguf
from olpipe.testing.vision_models import write_monolithic_gguf, write_text_gguf

TEXT = """\
Three dogs run across a wide field behind an old farm. The sun is low, and the shadows of the trees reach as far as the
road. A boy in a red coat throws a stick, and the largest of the dogs jumps to catch it before it falls into the grass.
His sister sits on the fence, with a camera in her hands, and waits for the moment when all three are in the picture.
Later, when it gets dark, they walk home along the river. The dogs are wet and tired, and nobody says much.
"""


def built(folder, write):
    """Return a tiny model that is built; `write` writes it into a folder."""
    (folder / "model").mkdir(parents=True)
    write(folder / "model")
    config = ModelConfig("gguf", "tiny", conversion={"precision": "int8"})
    bundle = ModelBundle(ModelName.parse("tiny"), "sha256:0", folder / "model", folder / "cache", config)
    OnnxBackend().build(bundle, lambda _: None)
    return bundle


@pytest.fixture
def bundle(tmp_path):
    return built(tmp_path, lambda folder: write_tiny_gguf(folder / "model.gguf"))


@pytest.fixture
def load(bundle):
    runners = []

    def load(cache_type, **options):
        runners.append(OnnxBackend().load(bundle, LoadOptions(threads=1, cache_type=cache_type, **options)))
        return runners[-1]

    yield load
    for runner in runners:
        runner.close()


def opened(bundle, cache_type):
    """Open a model's graph as its runner does."""
    package = package_folder(bundle)
    files = TextPackage.read(package, bundle)
    options = LoadOptions(threads=1, cache_type=cache_type)
    return open_decoder(package / files.decoder, options, files.vocabulary(), context_length=files.context_length)


def logits_of(session, tokens, *, prompt):
    """Return the logits after each token from the end of the prompt on, which is run at once."""
    cache = Cache(session, rows=1, length=len(tokens))
    cache.run(np.array([tokens[:prompt]], np.int64), [0], further={})
    rows = [cache.logits(0)]
    for at in range(prompt, len(tokens) - 1):
        cache.run(np.array([tokens[at : at + 1]], np.int64), [at], further={})
        rows.append(cache.logits(0))
    return np.array(rows)


def agreement(one, other):
    """Return at which share of the places two models take the same token to be the likeliest."""
    return np.mean(one.argmax(axis=-1) == other.argmax(axis=-1))


def ask(text, **sampling):
    return GenerateRequest("tiny", (Message.of("user", text),), SamplingParams(**{"max_tokens": 24, **sampling}))


def answers(runner, requests, *, at_once):
    """Answer requests, so many at a time; returns their texts and how many tokens of prompts were reused."""
    texts, reused, waiting, open_ones = [""] * len(requests), 0, list(range(len(requests))), set()
    while waiting or open_ones:
        while waiting and len(open_ones) < at_once:
            open_ones.add(waiting[0])
            runner.start(waiting[0], runner.prepare(requests[waiting.pop(0)]))
        for number, chunk in runner.step():
            assert isinstance(chunk, Chunk)
            texts[number] += chunk.text
            if chunk.finish_reason is not None:
                open_ones.remove(number)
                reused += chunk.timings.reused_tokens
    return texts, reused


REQUESTS = [
    ask("the dog in the street " * (number % 5) + str(number), temperature=0.9 * (number % 2), seed=number)
    for number in range(10)
]


@pytest.mark.parametrize(("cache_type", "part"), [(FULL_CACHE, 1), ("q8_0", 4), ("q4_0", 8)])
def test_keys_and_values_take_a_quarter_and_an_eighth(bundle, cache_type, part):
    full, _ = opened(bundle, FULL_CACHE)
    session, reason = opened(bundle, cache_type)
    assert reason == ""
    sizes = [Cache(one, rows=2, length=64).size_bytes for one in (full, session)]
    assert sizes[0] == part * sizes[1]


@pytest.mark.parametrize("cache_type", CACHE_TYPES)
def test_everyone_gets_the_answer_of_one_who_is_alone(load, cache_type):
    runner = load(cache_type)
    assert (runner.info.cache_type, runner.info.cache_reason) == (cache_type, "")
    together, _ = answers(runner, REQUESTS, at_once=5)
    alone, _ = answers(load(cache_type), REQUESTS, at_once=1)
    assert together == alone
    assert len(set(alone)) > 5


@pytest.mark.parametrize("cache_type", CACHE_TYPES)
def test_prompts_that_begin_alike_are_answered_as_if_they_were_alone(load, cache_type):
    shared = "a cat sleeps on the roof of a house near the river " * 4
    requests = [ask(f"{shared}{number}") for number in range(4)]
    with_reuse, reused = answers(load(cache_type), requests, at_once=1)
    assert reused > 0
    assert with_reuse == [answers(load(cache_type), [request], at_once=1)[0][0] for request in requests]


def test_a_graph_is_written_once_and_gives_the_same_the_next_time(bundle, load):
    first, _ = answers(load("q8_0"), REQUESTS, at_once=1)
    graphs = {path: path.stat().st_mtime_ns for path in package_folder(bundle).glob("*.onnx")}
    assert len(graphs) == 2
    assert answers(load("q8_0"), REQUESTS, at_once=1)[0] == first
    assert {path: path.stat().st_mtime_ns for path in package_folder(bundle).glob("*.onnx")} == graphs
    assert sum(path.stat().st_size for path in package_folder(bundle).glob("*q8_0*")) < 100_000  # no weights in it


@pytest.mark.parametrize("name", ["qwen3", "gemma3_text", "phi3"])
def test_other_architectures_and_windows_are_close_to_the_full_cache(tmp_path, name):
    bundle = built(tmp_path, lambda folder: write_text_gguf(name, folder / "model.gguf", seed=1))
    tokens = np.random.default_rng(5).integers(3, 90, 60)
    full, eight, four = (logits_of(opened(bundle, one)[0], tokens, prompt=40) for one in (FULL_CACHE, "q8_0", "q4_0"))
    errors = [np.linalg.norm(one - full) / np.linalg.norm(full) for one in (eight, four)]
    assert 0 < errors[0] < 0.1
    assert errors[0] < errors[1] < 0.8


@pytest.mark.parametrize("cache_type", CACHE_TYPES)
def test_vectors_of_texts_are_close_to_those_of_the_full_cache(load, cache_type):
    request = EmbedRequest("tiny", ("the dog in the street", "a cat"))
    full, quantised = (load(one).embed(request).vectors for one in (FULL_CACHE, cache_type))
    assert (full * quantised).sum(axis=-1) == pytest.approx(1, abs=0.03)


def test_a_model_that_sees_says_why_its_cache_stays_as_it_is(tmp_path):
    bundle = built(tmp_path, lambda folder: write_monolithic_gguf("qwen2_5_vl", folder / "model.gguf"))
    runner = OnnxBackend().load(bundle, LoadOptions(threads=1, cache_type="q8_0"))
    runner.close()
    assert runner.info.cache_type == FULL_CACHE
    reason = "the model sees, and the sizes of an image's keys and values are not known"
    assert runner.info.ignored(LoadOptions(cache_type="q8_0"), "onnx") == runner.info.cache_reason == reason
    assert runner.info.ignored(LoadOptions(cache_type=FULL_CACHE), "onnx") == ""


def test_a_graph_that_the_runtime_refuses_leaves_the_cache_as_it_is(bundle, load):
    expected, _ = answers(load(FULL_CACHE), REQUESTS, at_once=1)
    load("q8_0")
    (path,) = package_folder(bundle).glob("*q8_0*")
    graph = onnx.load(str(path), load_external_data=False)
    for node in graph.graph.node:
        for attribute in node.attribute:
            if attribute.name == "kv_cache_bit_width":
                attribute.i = 5
    path.write_bytes(graph.SerializeToString())
    runner = load("q8_0")
    assert runner.info.cache_type == FULL_CACHE
    assert runner.info.cache_reason == "the installed ONNX Runtime does not run this model with such a cache"
    assert answers(runner, REQUESTS, at_once=1)[0] == expected


@pytest.mark.slow
def test_eight_bits_cost_the_real_model_little_also_far_from_the_beginning(photo_mini_home):
    library = Library(photo_mini_home / "models", cache=photo_mini_home / "cache")
    bundle = library.get(ModelName.parse("photo-mini"))
    tokens = TextPackage.read(package_folder(bundle), bundle).vocabulary().encode(TEXT * 12)[:1200]
    full, eight, four = (logits_of(opened(bundle, one)[0], tokens, prompt=1100) for one in (FULL_CACHE, "q8_0", "q4_0"))
    assert agreement(full, eight) > 0.9
    assert agreement(full, four) > 0.5
