"""Qwen2.5-VL and Qwen3-VL: how images are fitted and cut, and where they stand in a prompt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe.convert.gguf import open_gguf
from olpipe.convert.vision_file import open_vision
from olpipe.errors import ModelCorrupt, ModelUnsupported
from olpipe.families.chat_template import ChatTemplate
from olpipe.families.patches import Grid, Windows
from olpipe.families.qwen2_5_vl import Qwen25VL
from olpipe.families.qwen3_vl import Qwen3VL
from olpipe.interfaces.vision import Fitted, Layout, VisionConfig
from olpipe.testing.vision.content import Content
from olpipe.testing.vision.photos import smooth_photo
from olpipe.testing.vision_models import projector_content

HALF = (0.5, 0.5, 0.5)
QWEN25 = VisionConfig(
    "Qwen2.5-VL", 560, 14, 2, 2, 4, 32, 8, 8, 1e-6, HALF, HALF, least_pixels=3_136, most_pixels=12_845_056, window=112
)
QWEN3 = VisionConfig(
    "Qwen3-VL", 768, 16, 2, 2, 4, 32, 8, 8, 1e-6, HALF, HALF, least_pixels=65_536, most_pixels=16_777_216
)
FAMILIES = [(Qwen25VL(), QWEN25), (Qwen3VL(), QWEN3)]
BOTH = pytest.mark.parametrize(("family", "config"), FAMILIES, ids=["qwen2.5", "qwen3"])
SIDES, TOKENS = st.integers(1, 60_000), st.integers(0, 20_000)
CELLS = st.integers(1, 40)


def cells_of(config, fitted):
    cell = config.patch_size * config.merge
    assert (fitted.width % cell, fitted.height % cell) == (0, 0)
    return fitted.height // cell, fitted.width // cell


# --- fitting ------------------------------------------------------------------------------------


@BOTH
@given(width=SIDES, height=SIDES, tokens=TOKENS)
def test_every_image_becomes_whole_cells_within_its_tokens(family, config, width, height, tokens):
    rows, columns = cells_of(config, fitted := family.fit(config, width, height, tokens))
    assert 1 <= rows * columns == fitted.tokens <= max(1, tokens)
    assert fitted.width * fitted.height <= config.most_pixels


@BOTH
@given(width=SIDES, height=SIDES, tokens=TOKENS)
def test_proportions_change_by_less_than_a_cell_a_side(family, config, width, height, tokens):
    cell, (rows, columns) = (
        config.patch_size * config.merge,
        cells_of(config, family.fit(config, width, height, tokens)),
    )
    if min(rows, columns) > 1:
        # Some scale gives the two sides that were chosen, when each of them may be up to a cell too long or too short.
        scales = [
            ((count - 1) * cell / side, (count + 1) * cell / side) for count, side in ((rows, height), (columns, width))
        ]
        assert max(least for least, _ in scales) < min(most for _, most in scales)


@BOTH
@given(width=SIDES, height=SIDES, tokens=TOKENS)
def test_an_image_is_not_enlarged_beyond_whole_cells_unless_it_has_too_few_pixels(
    family, config, width, height, tokens
):
    fitted, cell = family.fit(config, width, height, tokens), config.patch_size * config.merge
    if width * height >= config.least_pixels:
        assert fitted.width < width + cell
        assert fitted.height < height + cell


@BOTH
def test_small_images_are_enlarged_to_the_least_pixels_that_the_tokens_allow(family, config):
    cell = config.patch_size * config.merge
    least = config.least_pixels // cell**2
    assert family.fit(config, 20, 20, 10_000).tokens == least
    assert family.fit(config, 20, 20, least // 4).tokens == least // 4


@BOTH
def test_an_image_of_one_row_of_pixels_keeps_one_row_of_cells(family, config):
    assert cells_of(config, family.fit(config, 60_000, 1, 100)) == (1, 100)
    assert cells_of(config, family.fit(config, 1, 60_000, 100)) == (100, 1)


def test_a_file_without_a_largest_size_leaves_it_to_the_tokens():
    fitted = Qwen3VL().fit(replace(QWEN3, most_pixels=0), 64_000, 64_000, 250_000)
    assert fitted == Fitted(16_000, 16_000, 1, 1, 250_000)


# --- prompts ------------------------------------------------------------------------------------


@BOTH
def test_an_image_stands_between_its_marks(family, config):
    fitted = family.fit(config, 4000, 3000, 256)
    assert family.layout(config, fitted) == Layout("<|vision_start|>", (fitted.tokens,), "<|vision_end|>")
    assert family.image_text.split(family.placeholder) == ["<|vision_start|>", "<|vision_end|>"]


@BOTH
@given(rows=CELLS, columns=CELLS)
def test_positions_count_rows_and_columns_at_one_time(family, config, rows, columns):
    cell = config.patch_size * config.merge
    fitted = Fitted(columns * cell, rows * cell, 1, 1, rows * columns)
    expected = [(0, row, column) for row in range(rows) for column in range(columns)]
    assert list(map(tuple, family.positions(config, fitted).T.tolist())) == expected


CONVERSATION = [
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": " What is it? "}]},
    {"role": "assistant", "content": "A dog."},
    {"role": "user", "content": "Sure?"},
]
SAID = (
    "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|> What is it? <|im_end|>\n"
    "<|im_start|>assistant\nA dog.<|im_end|>\n<|im_start|>user\nSure?<|im_end|>\n<|im_start|>assistant\n"
)


@pytest.mark.parametrize(
    ("family", "first"),
    [(Qwen25VL(), "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"), (Qwen3VL(), "")],
    ids=["qwen2.5", "qwen3"],
)
def test_a_model_without_a_template_reads_what_its_family_was_trained_with(family, first):
    assert ChatTemplate(family.template).render(CONVERSATION) == first + SAID


@BOTH
def test_a_system_message_takes_the_place_of_the_usual_one(family, config):
    turns = [{"role": "system", "content": "Be kind."}, *CONVERSATION]
    assert ChatTemplate(family.template).render(turns) == "<|im_start|>system\nBe kind.<|im_end|>\n" + SAID


@BOTH
def test_the_template_takes_texts_and_parts(family, config):
    shape = ChatTemplate(family.template).shape
    assert (shape.takes_texts, shape.takes_parts) == (True, True)


# --- patches ------------------------------------------------------------------------------------


@BOTH
def test_patches_of_a_cell_stand_behind_each_other(family, config):
    cell, patch = config.patch_size * config.merge, config.patch_size
    fitted = Fitted(3 * cell, 2 * cell, 1, 1, 6)
    photo = smooth_photo(fitted.width, fitted.height)
    patches = family.inputs(config, photo, fitted)["patches"]
    expected = [
        (photo[top + row : top + row + patch, left + column : left + column + patch] / 127.5 - 1).transpose(2, 0, 1)
        for top in (0, cell)
        for left in (0, cell, 2 * cell)
        for row in (0, patch)
        for column in (0, patch)
    ]
    # Six cells are one window, so they keep their order.
    assert patches.dtype == np.float32
    np.testing.assert_allclose(patches, np.reshape(expected, (24, -1)), rtol=0, atol=1e-6)


@given(rows=CELLS, columns=CELLS, side=st.integers(1, 6))
def test_windows_and_back_give_the_same_order(rows, columns, side):
    windows = Windows.of(Grid(rows, columns, 2), side)
    cells = np.arange(rows * columns)
    np.testing.assert_array_equal(cells[windows.order][windows.inverse], cells)
    patches = np.arange(4 * rows * columns)
    np.testing.assert_array_equal(patches[windows.members].reshape(-1)[windows.places], patches)


@given(rows=CELLS, columns=CELLS, side=st.integers(1, 6))
def test_a_window_holds_the_patches_of_a_square_of_cells(rows, columns, side):
    windows = Windows.of(Grid(rows, columns, 2), side)
    numbers = np.arange(rows * columns).reshape(rows, columns)
    squares = [
        numbers[top : top + side, left : left + side].reshape(-1)
        for top in range(0, rows, side)
        for left in range(0, columns, side)
    ]
    assert windows.taken.shape == (len(squares), 4 * side * side)
    for square, members, taken in zip(squares, windows.members, windows.taken, strict=True):
        assert windows.order[members[taken] // 4].tolist() == np.repeat(square, 4).tolist()


@given(rows=CELLS, columns=CELLS)
def test_corners_of_an_image_lie_on_the_corners_of_the_table_of_positions(rows, columns):
    fitted = Fitted(32 * columns, 32 * rows, 1, 1, rows * columns)
    inputs = Qwen3VL().inputs(QWEN3, np.zeros((fitted.height, fitted.width, 3), np.uint8), fitted)
    # The table has 48 positions in a row. The rows and columns that the four positions amount to together are counted.
    numbers, weights = inputs["position_rows"], inputs["position_weights"]
    assert numbers.min() >= 0
    assert numbers.max() < 48 * 48
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=0, atol=1e-5)
    found_rows, found_columns = ((weights * part).sum(axis=1) for part in np.divmod(numbers, 48))
    cells = [
        (2 * row + r, 2 * column + c)
        for row in range(rows)
        for column in range(columns)
        for r in (0, 1)
        for c in (0, 1)
    ]
    expected = np.array(cells) * 47 / (np.array([2 * rows, 2 * columns]) - 1)
    np.testing.assert_allclose(np.stack([found_rows, found_columns], axis=1), expected, rtol=0, atol=1e-3)


# --- files --------------------------------------------------------------------------------------


def read(name, folder, *, metadata=None, tensors=None, without=()):
    """Read a tiny vision encoder after changes."""
    content = projector_content(name)
    values = {**content.metadata, **{f"clip.vision.{key}": value for key, value in (metadata or {}).items()}}
    weights = {key: value for key, value in {**content.tensors, **(tensors or {})}.items() if key not in without}
    values = {key: value for key, value in values.items() if value is not None}
    source = open_vision(open_gguf(Content(values, weights).write(folder / "mmproj.gguf")))
    return {"qwen2_5_vl": Qwen25VL(), "qwen3_vl": Qwen3VL()}[name].read(source.metadata, source)


def test_the_sizes_of_a_qwen2_5_vl_are_read(tmp_path):
    config = read("qwen2_5_vl", tmp_path)
    assert (config.layers, config.heads, config.width, config.inner_width, config.output_width) == (4, 4, 96, 108, 64)
    assert (config.patch_size, config.merge, config.window, config.full_layers) == (14, 2, 112, (1, 3))
    assert (config.least_pixels, config.most_pixels) == (8 * 784, 64 * 784)


def test_the_sizes_of_a_qwen3_vl_are_read(tmp_path):
    config = read("qwen3_vl", tmp_path)
    assert (config.layers, config.heads, config.width, config.inner_width, config.output_width) == (4, 4, 96, 144, 64)
    assert (config.patch_size, config.merge, config.image_size, config.deepstack_layers) == (16, 2, 128, (0, 2, 3))


@pytest.mark.parametrize(("name", "least", "most"), [("qwen2_5_vl", 3136, 12845056), ("qwen3_vl", 65536, 16777216)])
def test_a_file_that_names_no_pixels_has_those_of_its_family(tmp_path, name, least, most):
    config = read(name, tmp_path, metadata={"image_min_pixels": None, "image_max_pixels": None})
    assert (config.least_pixels, config.most_pixels) == (least, most)


def test_blocks_that_see_the_whole_image_may_be_named_one_by_one(tmp_path):
    assert read("qwen2_5_vl", tmp_path, metadata={"fullatt_block_indexes": [0, 3]}).full_layers == (0, 3)


def test_a_qwen3_vl_may_do_without_deepstack(tmp_path):
    deep = [name for name in projector_content("qwen3_vl").tensors if name.startswith("v.deepstack")]
    config = read("qwen3_vl", tmp_path, metadata={"is_deepstack_layers": None}, without=deep)
    assert config.deepstack_layers == ()


ZEROS = np.zeros(3, np.float32)


@pytest.mark.parametrize(
    ("name", "changes", "error", "message"),
    [
        ("qwen2_5_vl", {"without": ["v.blk.1.ffn_gate.bias"]}, ModelCorrupt, "no tensor `v.blk.1.ffn_gate.bias`"),
        ("qwen2_5_vl", {"without": ["v.patch_embd.weight.1"]}, ModelCorrupt, "no tensor `v.patch_embd.weight.1`"),
        ("qwen2_5_vl", {"tensors": {"v.blk.0.ls1.weight": ZEROS}}, ModelUnsupported, "a tensor `v.blk.0.ls1.weight`"),
        ("qwen2_5_vl", {"tensors": {"v.post_ln.weight": ZEROS}}, ModelCorrupt, "`v.post_ln.weight` is (3,), not (96,)"),
        ("qwen2_5_vl", {"metadata": {"attention.head_count": 5}}, ModelCorrupt, "width `96` cannot be divided"),
        ("qwen2_5_vl", {"metadata": {"window_size": 100}}, ModelCorrupt, "windows of `100` pixels"),
        ("qwen2_5_vl", {"metadata": {"n_wa_pattern": None}}, ModelCorrupt, "nothing for `n_wa_pattern`"),
        ("qwen2_5_vl", {"metadata": {"fullatt_block_indexes": [4]}}, ModelCorrupt, "blocks `(4,)` see all"),
        ("qwen3_vl", {"without": ["mm.2.weight"]}, ModelCorrupt, "no tensor `mm.2.weight`"),
        ("qwen3_vl", {"without": ["v.position_embd.weight"]}, ModelCorrupt, "no tensor `v.position_embd.weight`"),
        (
            "qwen3_vl",
            {"tensors": {"v.position_embd.weight": np.zeros((63, 96), np.float32)}},
            ModelCorrupt,
            "no square",
        ),
        ("qwen3_vl", {"metadata": {"is_deepstack_layers": [True, False, False, False]}}, ModelCorrupt, "after `(0,)`"),
        ("qwen3_vl", {"tensors": {"v.deepstack.9.fc1.bias": ZEROS}}, ModelUnsupported, "`v.deepstack.9.fc1.bias`"),
    ],
)
def test_a_file_that_is_not_sound_is_refused_by_name(tmp_path, name, changes, error, message):
    with pytest.raises(error) as raised:
        read(name, tmp_path, **changes)
    assert message in raised.value.message
