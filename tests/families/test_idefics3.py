"""Idefics3: images are cut into tiles, and shown once more as a whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from olpipe.errors import ModelCorrupt, ModelUnsupported
from olpipe.families.chat_template import ChatTemplate
from olpipe.families.idefics3 import Idefics3
from olpipe.interfaces.vision import Fitted, VisionConfig
from olpipe.testing.vision.photos import smooth_photo

HALF = (0.5, 0.5, 0.5)
FAMILY = Idefics3()
# A SmolVLM: a tile has 32 * 32 patches, and becomes 8 * 8 tokens.
CONFIG = VisionConfig("Idefics3", 512, 16, 4, 12, 12, 768, 3072, 576, 1e-6, HALF, HALF, most_pixels=2048 * 2048)
SIDES = st.one_of(st.integers(1, 100), st.integers(1, 60_000))


@given(width=SIDES, height=SIDES, tokens=st.integers(0, 2000))
def test_every_size_fits(width, height, tokens):
    fitted = FAMILY.fit(CONFIG, width, height, tokens)
    tiles = fitted.columns * fitted.rows
    assert (fitted.width, fitted.height) == (512 * fitted.columns, 512 * fitted.rows)
    assert fitted.tokens == 64 * (tiles + 1 if tiles > 1 else 1)
    assert fitted.tokens <= max(tokens, 64)
    assert max(fitted.columns, fitted.rows) <= 4
    assert max(fitted.width, fitted.height) - max(width, height) < 512  # it is enlarged no more than it takes


@given(width=SIDES, height=SIDES, tokens=st.integers(64, 2000))
def test_the_placeholders_of_a_prompt_are_as_many_as_the_tokens(width, height, tokens):
    fitted = FAMILY.fit(CONFIG, width, height, tokens)
    body = FAMILY.layout(CONFIG, fitted).body
    assert sum(part for part in body if isinstance(part, int)) == fitted.tokens


@pytest.mark.parametrize(
    ("size", "tokens", "columns", "rows"),
    [
        ((4000, 3000), 2000, 4, 3),
        ((3000, 4000), 2000, 3, 4),
        ((4000, 3000), 832, 4, 3),
        ((4000, 3000), 831, 3, 3),
        ((4000, 3000), 320, 2, 2),
        ((4000, 3000), 319, 1, 1),
        ((4000, 3000), 1, 1, 1),
        ((4000, 900), 256, 3, 1),
        ((600, 450), 2000, 2, 2),
        ((512, 300), 2000, 1, 1),
        ((1, 1), 2000, 1, 1),
    ],
)
def test_an_image_gets_the_most_tiles_that_it_can_fill_and_that_there_are_tokens_for(size, tokens, columns, rows):
    fitted = FAMILY.fit(CONFIG, *size, tokens)
    assert (fitted.columns, fitted.rows) == (columns, rows)


def test_a_file_can_ask_for_fewer_tiles():
    fitted = FAMILY.fit(replace(CONFIG, most_pixels=1024 * 1024), 4000, 4000, 2000)
    assert (fitted.columns, fitted.rows) == (2, 2)


def test_tiles_are_shown_row_by_row_and_the_whole_image_last():
    config = replace(CONFIG, image_size=2, patch_size=1, merge=1, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    photo = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    tiles = FAMILY.inputs(config, photo, Fitted(6, 4, 3, 2, 28))["pixels"]
    assert (tiles.shape, tiles.dtype) == ((7, 3, 2, 2), np.float32)
    for tile in range(6):
        row, column = 2 * (tile // 3), 2 * (tile % 3)
        part = photo[row : row + 2, column : column + 2]
        np.testing.assert_allclose(tiles[tile], part.transpose(2, 0, 1) / 255, atol=1e-6)
    whole = np.asarray(Image.fromarray(photo).resize((2, 2), Image.Resampling.LANCZOS))
    np.testing.assert_allclose(tiles[6], whole.transpose(2, 0, 1) / 255, atol=1e-6)


def test_an_image_that_is_not_cut_is_one_tile():
    tiles = FAMILY.inputs(CONFIG, smooth_photo(30, 20), Fitted(512, 512, 1, 1, 64))["pixels"]
    assert tiles.shape == (1, 3, 512, 512)


def test_the_layout_names_rows_and_columns():
    layout = FAMILY.layout(CONFIG, Fitted(1024, 1024, 2, 2, 320))
    written = layout.before + "".join("#" if isinstance(part, int) else part for part in layout.body) + layout.after
    assert written == (
        "<fake_token_around_image><row_1_col_1>#<fake_token_around_image><row_1_col_2>#\n"
        "<fake_token_around_image><row_2_col_1>#<fake_token_around_image><row_2_col_2>#\n\n"
        "<fake_token_around_image><global-img>#<fake_token_around_image>"
    )


def test_the_layout_of_a_single_tile_is_short():
    layout = FAMILY.layout(CONFIG, Fitted(512, 512, 1, 1, 64))
    assert layout.before == "<fake_token_around_image><global-img>"
    assert (layout.body, layout.after) == ((64,), "<fake_token_around_image>")


def test_the_template_writes_a_conversation_as_smolvlm_was_trained():
    turns = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "A dog."}]},
        {"role": "user", "content": "Sure?"},
    ]
    assert ChatTemplate(FAMILY.template).render(turns) == (
        "<|im_start|>User:<image>What is it?<end_of_utterance>\nAssistant: A dog.<end_of_utterance>\n"
        "User: Sure?<end_of_utterance>\nAssistant:"
    )


def test_the_sizes_are_read(vision_file):
    config = FAMILY.read(*vision_file("idefics3"))
    assert (config.merge, config.output_width, config.most_pixels) == (4, 64, 256 * 256)


def test_four_tiles_are_usual(vision_file):
    metadata, tensors = vision_file("idefics3")
    del metadata["preproc_image_size"]
    assert FAMILY.read(metadata, tensors).most_pixels == (4 * 64) ** 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"projector.scale_factor": None}, "`projector.scale_factor`"),
        ({"patch_size": 7}, "tiles of `64` pixels"),
        ({"attention.head_count": 7}, "width `96` cannot be divided among `7` heads"),
        ({"feed_forward_length": 100}, "`v.blk.0.ffn_up.weight` is (144, 96), not (100, 96)"),
        ({"block_count": 4}, "no tensor `v.blk.3.attn_q.weight`"),
        ({"image_std": (0.5, 0.5, 0.0)}, "`image_std`, which is not three positive numbers"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(vision_file, changes, message):
    metadata, tensors = vision_file("idefics3")
    with pytest.raises(ModelCorrupt) as refused:
        FAMILY.read(metadata | changes, tensors)
    assert message in refused.value.message


def test_a_file_with_an_unknown_tensor_is_refused(vision_file):
    metadata, tensors = vision_file("idefics3", **{"v.gate": np.ones(3, np.float32)})
    with pytest.raises(ModelUnsupported, match=r"`v\.gate`, which `Idefics3` does not have"):
        FAMILY.read(metadata, tensors)
