"""Gemma 3: every image is stretched to one square."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from olpipe.errors import ModelCorrupt, ModelUnsupported
from olpipe.families.chat_template import ChatTemplate
from olpipe.families.gemma3 import Gemma3
from olpipe.interfaces.vision import Fitted, Layout, VisionConfig
from olpipe.testing.vision.photos import smooth_photo

HALF = (0.5, 0.5, 0.5)
FAMILY = Gemma3()
CONFIG = VisionConfig("Gemma 3", 896, 14, 4, 27, 16, 1152, 4304, 2560, 1e-6, HALF, HALF)
TEMPLATE = ChatTemplate(FAMILY.template, {"bos_token": "<bos>"})


@given(width=st.integers(1, 60_000), height=st.integers(1, 60_000), tokens=st.integers(0, 2000))
def test_every_image_becomes_256_tokens(width, height, tokens):
    fitted = FAMILY.fit(CONFIG, width, height, tokens)
    assert fitted == Fitted(896, 896, 1, 1, 256)
    assert FAMILY.layout(CONFIG, fitted) == Layout("\n\n<start_of_image>", (256,), "<end_of_image>\n\n")


def test_an_image_is_stretched():
    photo = smooth_photo(50, 20)
    pixels = FAMILY.inputs(CONFIG, photo, Fitted(896, 896, 1, 1, 256))["pixels"]
    stretched = np.asarray(Image.fromarray(photo).resize((896, 896), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(pixels, [stretched.transpose(2, 0, 1) / 127.5 - 1], atol=1e-6)


def test_the_tokens_of_an_image_attend_to_each_other():
    assert FAMILY.mutual


def test_the_system_message_stands_in_front_of_the_first_text():
    turns = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": " What is it? "}]},
        {"role": "assistant", "content": "A dog."},
        {"role": "user", "content": "Sure?"},
    ]
    assert TEMPLATE.render(turns) == (
        "<bos><start_of_turn>user\nBe kind.\n\n<start_of_image>What is it?<end_of_turn>\n"
        "<start_of_turn>model\nA dog.<end_of_turn>\n<start_of_turn>user\nSure?<end_of_turn>\n<start_of_turn>model\n"
    )


def test_a_system_message_may_be_made_of_parts():
    turns = [
        {"role": "system", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": "Hello"},
    ]
    assert TEMPLATE.render(turns) == (
        "<bos><start_of_turn>user\nBe kind.\n\nHello<end_of_turn>\n<start_of_turn>model\n"
    )


def test_the_sizes_are_read(vision_file):
    config = FAMILY.read(*vision_file("gemma3"))
    assert (config.merge, config.output_width, config.layers) == (2, 64, 3)


def test_sixteen_patches_are_a_token_where_the_file_does_not_say(vision_file):
    metadata, tensors = vision_file("gemma3")
    del metadata["projector.scale_factor"]
    assert FAMILY.read(metadata, tensors).merge == 4


def test_a_matrix_in_the_wrong_shape_is_refused(vision_file):
    metadata, tensors = vision_file("gemma3", **{"mm.soft_emb_norm.weight": np.ones(95, np.float32)})
    with pytest.raises(ModelCorrupt, match=r"`mm\.soft_emb_norm\.weight` is \(95,\), not \(96,\)"):
        FAMILY.read(metadata, tensors)


def test_a_file_without_the_matrix_to_the_text_model_is_refused(vision_file):
    metadata, tensors = vision_file("idefics3")
    with pytest.raises(ModelCorrupt, match=r"\(Gemma 3\) has no tensor `mm\.input_projection\.weight`"):
        FAMILY.read(metadata, tensors)


def test_a_file_with_an_unknown_tensor_is_refused(vision_file):
    metadata, tensors = vision_file("gemma3", **{"v.std_bias": np.ones(3, np.float32)})
    with pytest.raises(ModelUnsupported, match=r"`v\.std_bias`, which `Gemma 3` does not have"):
        FAMILY.read(metadata, tensors)
