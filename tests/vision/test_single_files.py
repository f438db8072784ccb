"""A model of Ollama's library is one file. It says what the two files of llama.cpp with the same weights say."""

from __future__ import annotations

from dataclasses import replace

import gguf
import numpy as np
import pytest
from models import MANY_TOKENS, Tiny, request_of

from olpipe.convert.package import check_convertible
from olpipe.errors import ModelUnsupported
from olpipe.families.vision_part import find_vision
from olpipe.testing.gguf import write_gguf
from olpipe.testing.vision import ollama
from olpipe.testing.vision.photos import smooth_photo
from olpipe.testing.vision_models import MONOLITHIC

QUESTION = "What is in the photo?"

# What the makers' own processors write.
PROMPTS = {
    "gemma3": (
        "<bos><start_of_turn>user\n\n\n<start_of_image>",
        f"<end_of_image>\n\n{QUESTION}<end_of_turn>\n<start_of_turn>model\n",
    ),
    "qwen2_5_vl": (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<|vision_start|>",
        f"<|vision_end|>{QUESTION}<|im_end|>\n<|im_start|>assistant\n",
    ),
    "qwen3_vl": (
        "<|im_start|>user\n<|vision_start|>",
        f"<|vision_end|>{QUESTION}<|im_end|>\n<|im_start|>assistant\n",
    ),
}


@pytest.fixture(scope="module", params=MONOLITHIC)
def models(request, tmp_path_factory):
    """Return the name of a family, the model made of one file, and the model made of two."""
    made = [
        Tiny.make(request.param, tmp_path_factory.mktemp(request.param), single_file=single_file)
        for single_file in (True, False)
    ]
    return request.param, *made


def asked(model, *, sizes=((150, 100),)):
    """Return the prompt of a question about photos."""
    photos = [smooth_photo(*size, seed=seed) for seed, size in enumerate(sizes)]
    turns = ((*(None for _ in photos), QUESTION),)
    return model.runner(image_tokens=MANY_TOKENS).prepare(request_of(turns, photos)).prompt


def test_the_same_weights_are_packed(models):
    name, one, two = models
    # The decoder of Ollama's Gemma 3 has rotary tables for more tokens, and one row less in its embedding.
    files = ["vision.onnx.data"] if name == "gemma3" else ["vision.onnx.data", "model.onnx.data"]
    for file in files:
        assert (one.package / file).read_bytes() == (two.package / file).read_bytes()


def test_a_prompt_is_written_by_the_template_of_the_family(models):
    name, one, _ = models
    assert "tokenizer.chat_template" not in gguf.GGUFReader(one.gguf).fields
    prompt, vocabulary = asked(one), one.runner().vocabulary
    (image,) = prompt.images
    special = vocabulary.special_in(PROMPTS[name])
    texts = prompt.tokens[: image.start], prompt.tokens[image.end :]
    assert tuple(vocabulary.bytes_of(text, visible=special).decode() for text in texts) == PROMPTS[name]


@pytest.mark.parametrize("sizes", [((150, 100),), ((64, 200), (300, 90)), ()], ids=["one image", "two images", "text"])
def test_it_says_what_the_two_files_say(models, sizes):
    name, one, two = models
    prompt, other = asked(one, sizes=sizes), asked(two, sizes=sizes)
    seen = [replace(place, features=image.features) for place, image in zip(prompt.images, other.images, strict=True)]
    expected = two.logits(replace(prompt, images=tuple(seen)))
    found = one.logits(prompt)
    # Ollama's Qwen2.5-VL does not say the mean and the spread of colours. The usual ones are not rounded to 32 bits.
    bar = 2e-5 if name == "qwen2_5_vl" else 1e-6
    np.testing.assert_allclose(found, expected[: len(found)], rtol=0, atol=bar)


def test_a_gemma_3_has_a_token_more_than_its_embedding_has_rows(tmp_path):
    model = Tiny.make("gemma3", tmp_path, single_file=True)
    reader = gguf.GGUFReader(model.gguf)
    tokens = reader.get_field("tokenizer.ggml.tokens").contents()
    (embedding,) = (tensor for tensor in reader.tensors if tensor.name == "token_embd.weight")
    assert tokens[-1] == "<image_soft_token>"
    assert len(embedding.data) == len(tokens) - 1
    assert len(model.logits(asked(model))) == len(tokens) - 1


@pytest.mark.parametrize("name", ["v.extra.weight", "mm.extra.weight", "blk.0.extra.weight", "a.blk.0.ln1.weight"])
@pytest.mark.parametrize("family", MONOLITHIC)
def test_a_file_with_an_unknown_tensor_is_refused_by_its_name(family, name, tmp_path):
    content, path = ollama.content(family, 0), tmp_path / "whole.gguf"
    write_gguf(path, content.metadata, content.tensors | {name: np.ones((64, 64), np.float32)})
    with pytest.raises(ModelUnsupported, match=f"`{name}`"):
        check_convertible(path, find_vision(path))
