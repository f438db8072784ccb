"""Packages that see give the logits that their three graphs give on plain ONNX Runtime."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial

import numpy as np
import onnxruntime
import pytest
from tokenizers import Tokenizer

from olpipe.decoding.prompt import Prompt, shareable
from olpipe.default_plugins.ort_genai.runtime import import_runtime, load_model, new_generator
from olpipe.default_plugins.ort_genai.seeing_runner import without_padding
from olpipe.default_plugins.ort_genai.seeing_sequence import NEVER, RewindableSeeingSequence, SeeingSequence
from olpipe.default_plugins.ort_genai.seeing_types import TYPES, eyes_for
from olpipe.default_plugins.ort_genai.vision_files import VisionFiles
from olpipe.default_plugins.packages import TextPackage
from olpipe.errors import GenerationError
from olpipe.families.rendering import ChatRenderer
from olpipe.generation import GenerateRequest
from olpipe.image import DecodedImage
from olpipe.messages import ImagePart, Message, TextPart
from olpipe.model import LoadOptions, ModelBundle, ModelName
from olpipe.testing.contracts import ModelSequenceContract
from olpipe.testing.seeing_packages import write_seeing_package

TOLERANCE = 1e-4
WITH_AXES = ("fara", "qwen2_5_vl", "qwen3_vl")
PATCH = {"fara": 14, "qwen2_5_vl": 14, "qwen3_vl": 16}


def photo(width, height, seed=0):
    return DecodedImage(
        np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8), width=width, height=height
    )


class Package:
    """A tiny package, loaded once by the runtime and once as three graphs on plain ONNX Runtime."""

    def __init__(self, folder, kind):
        bundle = ModelBundle(ModelName.parse("tiny"), "sha256:0", write_seeing_package(folder, kind), folder)
        files = TextPackage.read(folder, bundle)
        self.kind, self.runtime = kind, import_runtime()
        self.eyes = eyes_for(VisionFiles.read(folder, "tiny"), files.vocabulary(), files.template)
        self.model = load_model(self.runtime, folder, bundle, LoadOptions(threads=1), changes=without_padding(files))
        self.end = files.end_tokens[0]
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.render = ChatRenderer(
            files.vocabulary(),
            self.eyes.template,
            show_image=partial(self.eyes.span, tokens=self.eyes.tokens),
            image_text=self.eyes.image_text,
        )
        self.graphs = {
            name: onnxruntime.InferenceSession(folder / f"{name}.onnx", providers=["CPUExecutionProvider"])
            for name in ("vision", "embedding", "model")
        }

    def open(self, length=4096):
        kind = RewindableSeeingSequence if self.eyes.rewinds else SeeingSequence
        generator = partial(new_generator, self.runtime, self.model)
        return kind(generator, self.runtime.NamedTensors, self.eyes, max_length=length)

    def prompt(self, *parts):
        said = tuple(TextPart(part) if isinstance(part, str) else ImagePart(part) for part in parts)
        rendered = self.render(GenerateRequest("tiny", (Message("user", said),)))
        return self.eyes.look(rendered)[0]

    def expected(self, prompt, more=()):
        """Return the logits after a prompt and more tokens, from one forward of each graph."""
        images = [image.features for image in prompt.images]
        features = np.concatenate([self._features(image) for image in images] or [np.zeros((0, 64), np.float32)])
        tokens = np.array([*prompt.tokens, *more])
        positions = hand_counted(tokens, images, self.eyes.placeholder) if self.kind in WITH_AXES else None
        for number, image in enumerate(prompt.images if self.kind == "phi3v" else (), start=1):
            tokens[image.start : image.end] = -number
        shape = (-1, 256, 64) if self.kind == "gemma3" else (-1, 64)
        feed = {"input_ids": tokens[None], "image_features": features.reshape(shape)}
        (embedded,) = self.graphs["embedding"].run(None, feed)
        feed = {"inputs_embeds": embedded, "attention_mask": np.ones((1, len(tokens)), np.int64)}
        feed |= {} if positions is None else {"position_ids": positions[:, None]}
        for one in self.graphs["model"].get_inputs():
            if one.name.startswith("past"):
                feed[one.name] = np.zeros((1, 2, 0, 16), np.float32)
        logits = self.graphs["model"].run(["logits"], feed)[0][0, -1]
        if self.eyes.placeholder is not None:
            logits[self.eyes.placeholder] = NEVER
        return logits

    def _features(self, image):
        names = [one.name for one in self.graphs["vision"].get_inputs()]
        return self.graphs["vision"].run(None, {name: image[name] for name in names})[0].reshape(-1, 64)


def hand_counted(tokens, images, placeholder):
    """Return time, row and column of each token as the makers of Qwen describe them, counted one after the other."""
    positions, reached, grids = [], 0, [image["image_grid_thw"][0] // (1, 2, 2) for image in images]
    at = 0
    while at < len(tokens):
        if tokens[at] == placeholder:
            _, rows, columns = grids.pop(0)
            positions += [
                (reached, reached + row, reached + column) for row in range(rows) for column in range(columns)
            ]
            reached += max(rows, columns)
            at += rows * columns
        else:
            positions.append((reached, reached, reached))
            reached, at = reached + 1, at + 1
    return np.array(positions).T


@pytest.fixture(scope="session")
def packages(tmp_path_factory):
    return cache(lambda kind: Package(tmp_path_factory.mktemp("package") / kind, kind))


@pytest.fixture(params=TYPES)
def package(packages, request):
    return packages(request.param)


@pytest.fixture
def qwen(packages):
    return packages("qwen2_5_vl")


def near(logits, expected):
    return np.abs(logits - expected).max() <= TOLERANCE


def test_a_prompt_with_an_image_has_the_logits_of_its_graphs(package):
    prompt = package.prompt("the dog and ", photo(150, 90), " the cat is in the street")
    sequence = package.open()
    assert near(sequence.prefill(prompt, 0), package.expected(prompt))
    assert near(sequence.decode((40, 41, 42)), package.expected(prompt, (40, 41, 42)))
    assert near(sequence.decode((43,)), package.expected(prompt, (40, 41, 42, 43)))


def test_an_image_changes_the_logits(package):
    one, other = (package.prompt("the dog", photo(112, 112, seed)) for seed in (1, 2))
    assert one.tokens == other.tokens
    assert not near(package.open().prefill(one, 0), package.open().prefill(other, 0))


def test_the_token_that_a_package_names_as_padding_counts_like_any_other(package):
    prompt = package.prompt("the dog", photo(112, 84)).followed_by((package.end, 40, package.end))
    sequence = package.open()
    assert near(sequence.prefill(prompt, 0), package.expected(prompt))
    assert near(sequence.decode((41, package.end)), package.expected(prompt, (41, package.end)))


def test_two_images_of_different_size_have_the_logits_of_their_graphs(package):
    prompt = package.prompt(photo(150, 90, 1), "the cat ", photo(60, 200, 2), " and the dog")
    assert near(package.open().prefill(prompt, 0), package.expected(prompt))


def test_two_images_of_one_size_have_the_logits_of_their_graphs(package):
    prompt = package.prompt(photo(112, 84, 1), photo(112, 84, 2), "the dog")
    assert near(package.open().prefill(prompt, 0), package.expected(prompt))


def test_a_prompt_without_images_has_the_logits_of_its_graphs(package):
    prompt = package.prompt("the dog is in the street")
    sequence = package.open()
    assert near(sequence.prefill(prompt, 0), package.expected(prompt))
    assert near(sequence.decode((40, 41)), package.expected(prompt, (40, 41)))


def test_a_prompt_is_tokenised_as_the_whole_text_would_be(qwen):
    prompt = qwen.prompt("the dog ", photo(56, 84), " in the street")
    image = f"<|vision_start|>{'<|image_pad|>' * 6}<|vision_end|>"
    text = f"<|im_start|>user\nthe dog {image} in the street<|im_end|>\n<|im_start|>assistant\n"
    assert list(prompt.tokens) == qwen.tokenizer.encode(text, add_special_tokens=False).ids


def test_each_piece_of_a_prompt_of_phi_begins_like_a_text(packages):
    phi = packages("phi3v")
    prompt = phi.prompt(photo(336, 336), "the dog")
    (image,) = prompt.images
    encode = partial(phi.tokenizer.encode, add_special_tokens=False)
    assert list(prompt.tokens[: image.start]) == encode("<s><|user|>\n").ids
    assert list(prompt.tokens[image.end :]) == encode("<s>\nthe dog<|im_end|>\n<|assistant|>\n").ids


@pytest.mark.parametrize("kind", [kind for kind in TYPES if kind != "phi3v"])
def test_another_question_about_the_same_images_runs_only_the_question(packages, kind):
    package = packages(kind)
    first, second = (package.prompt("the dog", photo(112, 84), text) for text in ("the cat", "on the street"))
    shared = shareable(second.identity, first.identity, images_first=True)
    assert shared >= first.images[0].end
    sequence = package.open()
    sequence.prefill(first, 0)
    sequence.decode((40, 41))
    sequence.rewind(shared)
    assert near(sequence.prefill(second, shared), package.expected(second))


@pytest.mark.parametrize("kind", [kind for kind in TYPES if kind != "phi3v"])
@pytest.mark.parametrize("second", [("the dog",), ("the dog", photo(112, 84, 2), "the cat")], ids=["text", "image"])
def test_a_sequence_begins_anew_where_it_must_forget_an_image(packages, kind, second):
    package = packages(kind)
    first, second = package.prompt("the dog", photo(56, 140, 1), "the cat"), package.prompt(*second)
    sequence = package.open()
    sequence.prefill(first, 0)
    sequence.rewind(4)
    assert near(sequence.prefill(second, 4), package.expected(second))


def test_an_image_may_come_after_a_prompt_without_one(qwen):
    first, second = qwen.prompt("the dog"), qwen.prompt("the dog", photo(112, 84))
    sequence = qwen.open()
    sequence.prefill(first, 0)
    sequence.rewind(4)
    assert near(sequence.prefill(second, 4), qwen.expected(second))


def test_prompts_with_different_images_share_nothing(qwen):
    one, other, none = (qwen.prompt("the dog", *image) for image in ([photo(56, 56, 1)], [photo(56, 56, 2)], []))
    assert [shareable(two.identity, one.identity, images_first=True) for two in (other, none)] == [0, 0]
    assert shareable(one.identity, none.identity, images_first=True) == 0


def test_a_model_never_writes_a_placeholder(qwen):
    sequence = qwen.open()
    logits = [sequence.prefill(qwen.prompt("the dog", photo(56, 56)), 0), sequence.decode((40,))]
    assert [one[qwen.eyes.placeholder] for one in logits] == [NEVER, NEVER]


def test_images_that_the_graph_does_not_take_are_one_clear_line(qwen):
    prompt = qwen.prompt("the dog", photo(112, 84))
    (image,) = prompt.images
    features = {**image.features, "pixel_values": image.features["pixel_values"][:-4]}
    broken = Prompt(prompt.tokens, (replace(image, features=features),))
    with pytest.raises(GenerationError, match="the model cannot look at the images: ") as caught:
        qwen.open().prefill(broken, 0)
    assert "\n" not in caught.value.message


class TestSequencesOfPackagesThatSee(ModelSequenceContract):
    @pytest.fixture
    def open_sequence(self, qwen):
        return qwen.open

    @pytest.fixture
    def prompt(self, qwen):
        self.vocab_size = qwen.tokenizer.get_vocab_size()
        return qwen.prompt("the cat is in the street")


class TestSequencesOfPhi(ModelSequenceContract):
    @pytest.fixture
    def open_sequence(self, packages):
        return packages("phi3v").open

    @pytest.fixture
    def prompt(self, packages):
        self.vocab_size = packages("phi3v").tokenizer.get_vocab_size()
        return packages("phi3v").prompt("the cat is in the street")
