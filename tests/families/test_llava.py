"""LLaVA: an image becomes one square."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from olpipe.errors import ModelCorrupt, ModelUnsupported
from olpipe.families.chat_template import ChatTemplate
from olpipe.families.llava import LLAVA_1_5, LLAVA_1_6
from olpipe.families.turns import IMAGE
from olpipe.interfaces.vision import Fitted, Layout, VisionConfig
from olpipe.testing.vision.photos import smooth_photo

ZERO, ONE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CONFIG = VisionConfig("LLaVA 1.5", 336, 14, 1, 23, 16, 1024, 4096, 4096, 1e-5, CLIP_MEAN, ONE)
FITTED = Fitted(336, 336, 1, 1, 576)
TEMPLATE = ChatTemplate(LLAVA_1_5.template, {"bos_token": "<s>", "eos_token": "</s>"})


def shown(family, photo, size=336):
    """Return the pixels that a vision encoder gets, (size, size, 3), as whole numbers up to 255."""
    config = VisionConfig(family.name, size, 14, 1, 1, 1, 1, 1, 1, 1e-5, CLIP_MEAN, ONE)
    pixels = family.inputs(config, photo, Fitted(size, size, 1, 1, 1))["pixels"]
    assert (pixels.shape, pixels.dtype) == ((1, 3, size, size), np.float32)
    return np.rint((pixels[0].transpose(1, 2, 0) + CLIP_MEAN) * 255).astype(int)


@given(width=st.integers(1, 60_000), height=st.integers(1, 60_000), tokens=st.integers(0, 2000))
def test_every_image_becomes_576_tokens(width, height, tokens):
    fitted = LLAVA_1_5.fit(CONFIG, width, height, tokens)
    assert fitted == FITTED
    assert LLAVA_1_5.layout(CONFIG, fitted) == Layout("", (576,), "")


def test_a_wide_image_stands_in_the_middle_of_the_mean_colour():
    pixels = shown(LLAVA_1_5, np.full((168, 336, 3), 255, np.uint8))
    assert (pixels[:84] == (122, 116, 104)).all()
    assert (pixels[84:252] == 255).all()
    assert (pixels[252:] == (122, 116, 104)).all()


def test_a_tall_image_stands_in_the_middle_of_the_mean_colour():
    pixels = shown(LLAVA_1_5, np.full((336, 112, 3), 255, np.uint8))
    assert (pixels[:, :112] == (122, 116, 104)).all()
    assert (pixels[:, 112:224] == 255).all()
    assert (pixels[:, 224:] == (122, 116, 104)).all()


@pytest.mark.parametrize("shape", [(20_000, 1, 3), (2, 20_000, 3)])
def test_a_very_narrow_image_becomes_a_thin_line_and_takes_little_memory(shape):
    tracemalloc.start()
    pixels = shown(LLAVA_1_5, np.zeros(shape, np.uint8))
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most_bytes < 200_000_000  # a square of 20,000 pixels would take 1,200,000,000
    assert (pixels[0, 0] == (122, 116, 104)).all()
    middle = pixels[:, 160:176] if shape[0] > shape[1] else pixels[160:176]
    assert middle.min() < 100


def test_version_1_6_stretches_the_image_instead():
    photo = smooth_photo(60, 20)
    stretched = np.asarray(Image.fromarray(photo).resize((336, 336), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(shown(LLAVA_1_6, photo), stretched)


def test_the_template_writes_a_conversation_as_vicuna_was_trained():
    turns = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]},
        {"role": "assistant", "content": "A dog."},
        {"role": "user", "content": "Sure?"},
    ]
    assert TEMPLATE.render(turns) == (
        "<s>Be kind. USER: <image>\nWhat is it? ASSISTANT: A dog.</s>USER: Sure? ASSISTANT:"
    )


def test_an_image_gets_a_line_of_its_own_where_the_vocabulary_has_no_token_for_it():
    assert TEMPLATE.render([{"role": "user", "content": f"{IMAGE}What is it?"}]) == (
        f"<s>USER: {IMAGE}\nWhat is it? ASSISTANT:"
    )


def test_the_sizes_are_read(vision_file):
    config = LLAVA_1_5.read(*vision_file("llava"))
    assert (config.family, config.layers, config.output_width, config.activation) == ("LLaVA 1.5", 3, 64, "quick_gelu")


def test_a_file_may_have_the_other_activation(vision_file):
    metadata, tensors = vision_file("llava")
    assert LLAVA_1_5.read(metadata | {"use_gelu": True}, tensors).activation == "gelu"


def test_a_file_that_names_tiles_is_of_version_1_6(vision_file):
    newline = {"model.image_newline": np.ones(64, np.float32)}
    metadata, tensors = vision_file("llava", **newline)
    assert LLAVA_1_5.read(metadata | {"image_grid_pinpoints": (672, 336)}, tensors).family == "LLaVA 1.6"
    with pytest.raises(ModelUnsupported, match=r"`model\.image_newline`, which `LLaVA 1\.5` does not have"):
        LLAVA_1_5.read(metadata, tensors)


def test_the_last_block_is_left_out_of_a_file_that_has_all(vision_file):
    norm = {f"v.post_ln.{part}": np.ones(96, np.float32) for part in ("weight", "bias")}
    metadata, tensors = vision_file("llava", **norm)
    assert LLAVA_1_5.read(metadata, tensors).layers == 2


def test_a_file_may_name_the_block_whose_output_counts(vision_file):
    metadata, tensors = vision_file("llava")
    assert LLAVA_1_5.read(metadata | {"feature_layer": (2,)}, tensors).layers == 2


@pytest.mark.parametrize("layer", [0, 4])
def test_a_block_that_is_not_there_is_refused(vision_file, layer):
    metadata, tensors = vision_file("llava")
    with pytest.raises(ModelCorrupt, match=f"has `3` blocks, but `feature_layer` is `{layer}`"):
        LLAVA_1_5.read(metadata | {"feature_layer": (layer,)}, tensors)


def test_several_outputs_together_are_refused(vision_file):
    metadata, tensors = vision_file("llava")
    with pytest.raises(ModelUnsupported, match="the outputs of 2 blocks together"):
        LLAVA_1_5.read(metadata | {"feature_layer": (1, 2)}, tensors)


def test_an_encoder_without_a_token_for_the_whole_image_is_refused(vision_file):
    metadata, tensors = vision_file("idefics3")
    with pytest.raises(ModelCorrupt, match=r"no tensor `v\.class_embd`"):
        LLAVA_1_5.read(metadata, tensors)
