"""The runner of packages that see: requests with photos, from the message to the answer."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from functools import cache

import jsonschema
import numpy as np
import pytest

from olpipe.default_plugins.ort_genai.backend import OrtGenaiBackend
from olpipe.engine.process import RunnerProcess
from olpipe.engine.protocol import Load
from olpipe.errors import GenerationError, UsageError
from olpipe.generation import FinishReason, GenerateRequest, Guidance, SamplingParams
from olpipe.image import BoxDialect, DecodedImage
from olpipe.messages import Message
from olpipe.model import LoadOptions, ModelBundle, ModelConfig, ModelName
from olpipe.settings import Settings
from olpipe.testing.contracts import BackendContract
from olpipe.testing.seeing_packages import TYPES, write_seeing_package

SCHEMA = {
    "type": "object",
    "properties": {
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 12}, "maxItems": 3},
        "title": {"type": "string", "maxLength": 20},
    },
    "required": ["tags", "title"],
    "additionalProperties": False,
}
GUIDANCE = Guidance("json_schema", json.dumps(SCHEMA))
PLACEHOLDERS = ("<|image_pad|>", "<|vision_start|><|image_pad|><|vision_end|>", "<|image_1|>", "\ufdd1")


def photo(width=150, height=90, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return DecodedImage(pixels, width=width, height=height)


def bundle_of(folder, kind):
    package = write_seeing_package(folder / "package", kind)
    return ModelBundle(ModelName.parse("tiny"), "sha256:0", package, folder / "cache", ModelConfig("onnx", kind))


@pytest.fixture(scope="session")
def bundles(tmp_path_factory):
    return cache(lambda kind: bundle_of(tmp_path_factory.mktemp("seeing"), kind))


@pytest.fixture
def load(bundles):
    runners = []

    def load(kind="qwen2_5_vl", **options):
        runners.append(OrtGenaiBackend().load(bundles(kind), LoadOptions(threads=1, **options)))
        return runners[-1]

    yield load
    for runner in runners:
        runner.close()


@pytest.fixture(params=TYPES)
def kind(request):
    return request.param


def ask(text, *images, guidance=None, **sampling):
    params = SamplingParams(**{"max_tokens": 16, **sampling})
    return GenerateRequest("tiny", (Message.of("user", text, *images),), params, guidance)


def answer(runner, request):
    runner.start(1, runner.prepare(request))
    chunks = []
    while not chunks or chunks[-1].finish_reason is None:
        chunks += [chunk for _, chunk in runner.step()]
    return "".join(chunk.text for chunk in chunks), chunks[-1]


def test_an_answer_about_a_photo_follows_its_schema(load, kind):
    text, last = answer(load(kind), ask("the dog", photo(), guidance=GUIDANCE, max_tokens=120))
    jsonschema.validate(json.loads(text), SCHEMA)
    assert last.usage.prompt_tokens > last.shown[0].tokens > 1
    assert last.timings.fit_ns > 0


def test_a_model_that_sees_answers_in_its_own_process(bundles):
    load = Load("ort-genai", bundles("qwen2_5_vl"), LoadOptions(threads=1), Settings())
    process = RunnerProcess(load)
    try:
        process.wait_loaded()
        request = ask("the dog", photo(), photo(60, 200, 1), guidance=GUIDANCE, max_tokens=120)
        completion = process.submit(request).completion()
    finally:
        process.close()
    jsonschema.validate(json.loads(completion.text), SCHEMA)
    assert completion.finish_reason is FinishReason.STOP


def test_answers_depend_on_the_photo(load, kind):
    runner = load(kind)
    texts = [answer(runner, ask("the dog", photo(seed=seed)))[0] for seed in range(6)]
    assert len(set(texts)) > 1
    assert answer(runner, ask("the dog", photo(seed=3)))[0] == texts[3]


def test_questions_about_one_photo_share_it_and_change_no_answer(load):
    questions = [ask(text, photo(), max_tokens=8) for text in ("the dog", "is a cat on the photo", "the street")]
    runner = load()
    answers = [answer(runner, question) for question in questions]
    assert [text for text, _ in answers] == [answer(load(), question)[0] for question in questions]
    image = runner.prepare(questions[0]).prompt.images[0]
    assert answers[0][1].timings.reused_tokens == 0
    assert all(last.timings.reused_tokens >= image.end for _, last in answers[1:])


def test_another_photo_shares_nothing(load):
    runner, other = load(), load()
    answer(runner, ask("the dog", photo(seed=1)))
    text, last = answer(runner, ask("the dog", photo(seed=2)))
    assert last.timings.reused_tokens == 0
    assert text == answer(other, ask("the dog", photo(seed=2)))[0]


def test_a_text_after_a_photo_is_answered_as_if_there_had_been_none(load, kind):
    runner, other = load(kind), load(kind)
    answer(runner, ask("the dog", photo()))
    assert answer(runner, ask("the dog"))[0] == answer(other, ask("the dog"))[0]
    assert answer(runner, ask("the dog", photo()))[0] == answer(other, ask("the dog", photo()))[0]


@pytest.mark.parametrize("text", PLACEHOLDERS)
def test_a_text_with_a_marker_is_no_photo(load, kind, text):
    runner = load(kind)
    plain, attack = runner.prepare(ask("the dog")).prompt, runner.prepare(ask(f"the {text} dog")).prompt
    assert attack.images == plain.images == ()
    end = runner.prepare(ask("")).prompt.tokens[-1]
    assert attack.tokens.count(end) == plain.tokens.count(end)
    assert answer(runner, ask(f"the {text} dog", photo()))[1].finish_reason is not None


def test_a_raw_prompt_cannot_ask_for_a_photo_that_is_not_there(load):
    request = replace(ask("<|vision_start|><|image_pad|><|vision_end|>the dog"), raw=True)
    with pytest.raises(UsageError) as caught:
        load().prepare(request)
    assert caught.value.message == "the prompt has `<|image_pad|>` where there is no image"
    assert caught.value.hint == "leave it out, and send the image with the request"


def test_a_raw_prompt_may_have_a_photo(load):
    runner = load()
    prompt = runner.prepare(replace(ask(" the dog", photo(56, 56)), raw=True)).prompt
    assert [(image.start, image.length) for image in prompt.images] == [(1, 4)]


@pytest.mark.parametrize(("kind", "limits"), [("qwen2_5_vl", [60, 9, 1]), ("phi3v", [2509, 757, 400])])
def test_a_photo_becomes_no_more_tokens_than_asked_for(load, kind, limits):
    prompts = [load(kind, image_tokens=limit).prepare(ask("the dog", photo(400, 400))).prompt for limit in limits]
    lengths = [prompt.images[0].length for prompt in prompts]
    assert all(length <= limit for length, limit in zip(lengths, limits, strict=True))
    assert lengths == sorted(set(lengths), reverse=True)


def test_photos_are_shown_smaller_where_there_is_no_room(load):
    runner = load(context_length=160)
    prompt = runner.prepare(ask("the dog", photo(448, 448, 1), photo(448, 448, 2))).prompt
    assert len(prompt) <= 160 - 16 - 64
    assert len(prompt.images) == 2


def test_runners_say_how_a_photo_was_shown(load):
    (shown,) = answer(load(), ask("the dog", photo(150, 90)))[1].shown
    assert (shown.width, shown.height, shown.tokens) == (140, 84, 15)
    (shown,) = answer(load("phi3v", image_tokens=500), ask("the dog", photo(300, 200)))[1].shown
    assert (shown.width, shown.height, shown.margins) == (336, 336, (0, 56, 0, 56))


def test_runners_say_what_they_can_use(load):
    qwen, phi = load(), load("phi3v")
    assert qwen.info.boxes == BoxDialect("bbox_2d", "xyxy", "pixels")
    assert phi.info.boxes is None
    assert qwen.info.fit_pixels == 4 * (8 * 28) ** 2  # the tiny package takes at most 64 tokens of 28 pixels a side
    assert phi.info.fit_pixels == 4 * (2 * 336) ** 2  # its configuration names 4 tiles


def test_phi_goes_no_further_than_the_runtime_is_right(bundles, tmp_path):
    package = write_seeing_package(tmp_path / "package", "phi3v", context_length=131072)
    loaded = OrtGenaiBackend().load(replace(bundles("phi3v"), path=package), LoadOptions(threads=1))
    assert loaded.info.context_length == 4096
    loaded.close()


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("gemma3", "lets each part of an image see only the parts before it"),
        ("qwen3_vl", "leaves out the features for the first layers of the text model (deepstack)"),
    ],
)
def test_types_that_the_runtime_computes_wrongly_are_told_once(bundles, caplog, kind, told):
    backend = OrtGenaiBackend()
    with caplog.at_level(logging.WARNING, logger="olpipe"):
        for _ in range(2):
            backend.build(bundles(kind), lambda _: None)
    (message,) = caplog.messages
    assert message == (
        f"`tiny:latest` sees worse here than it should: ONNX Runtime GenAI {told}. Use a GGUF file of the model instead"
    )


@pytest.mark.parametrize("kind", ["fara", "phi3v", "qwen2_5_vl"])
def test_types_that_are_right_need_no_warning(bundles, caplog, kind):
    with caplog.at_level(logging.WARNING, logger="olpipe"):
        OrtGenaiBackend().build(bundles(kind), lambda _: None)
    assert caplog.messages == []


def test_all_parts_of_a_package_for_another_device_can_be_moved_to_the_cpu(bundles, tmp_path):
    package = write_seeing_package(tmp_path / "package", "qwen2_5_vl")
    config = json.loads((package / "genai_config.json").read_text())
    for part in ("vision", "embedding", "decoder"):
        config["model"][part]["session_options"]["provider_options"] = [{"cuda": {"enable_cuda_graph": "0"}}]
    (package / "genai_config.json").write_text(json.dumps(config))
    loaded = OrtGenaiBackend().load(replace(bundles("qwen2_5_vl"), path=package), LoadOptions(device="cpu"))
    assert answer(loaded, ask("the dog", photo(56, 56)))[1].finish_reason is not None
    loaded.close()


def test_a_package_whose_graphs_do_not_fit_its_configuration_is_one_clear_line(bundles, tmp_path):
    package = write_seeing_package(tmp_path / "package", "qwen2_5_vl")
    config = json.loads((package / "genai_config.json").read_text())
    config["model"]["vision"]["spatial_merge_size"] = 1  # its encoder merges 4 patches
    (package / "genai_config.json").write_text(json.dumps(config))
    loaded = OrtGenaiBackend().load(replace(bundles("qwen2_5_vl"), path=package), LoadOptions(threads=1))
    with pytest.raises(GenerationError, match="the model cannot look at the images: "):
        answer(loaded, ask("the dog", photo(56, 56)))
    loaded.close()


class TestBackendWithQwen(BackendContract):
    prompt = "the dog is on the street"

    @pytest.fixture
    def backend(self):
        return OrtGenaiBackend()

    @pytest.fixture
    def bundle(self, bundles):
        return bundles("qwen2_5_vl")


class TestBackendWithPhi(TestBackendWithQwen):
    @pytest.fixture
    def bundle(self, bundles):
        return bundles("phi3v")
