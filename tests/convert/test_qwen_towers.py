"""The graphs of Qwen's vision encoders: what is stored how, and what may differ from file to file.

Whether they compute what the reference computes is tested in `tests/vision`.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from olpipe.convert.gguf import open_gguf
from olpipe.convert.vision_file import open_vision
from olpipe.families.table import family_for
from olpipe.interfaces.vision import Fitted
from olpipe.testing.vision.content import Content
from olpipe.testing.vision.photos import smooth_photo
from olpipe.testing.vision_models import projector_content

NAMES = ("qwen2_5_vl", "qwen3_vl")
QKV = ("attn_q", "attn_k", "attn_v")


class Written:
    """One written vision encoder."""

    def __init__(self, content, folder, *, eight_bits=False):
        self.source = open_vision(open_gguf(content.write(folder / "mmproj.gguf")))
        self.family = family_for(self.source.projector, folder)
        self.config = self.family.read(self.source.metadata, self.source)
        self.path, self.reports = folder / "vision.onnx", 0
        self.family.write(self.source, self.config, self.path, eight_bits=eight_bits, done=self._report)

    def _report(self):
        self.reports += 1

    def see(self, photo, rows, columns):
        """Return the outputs for a photo that is shown in a number of cells."""
        cell = self.config.patch_size * self.config.merge
        inputs = self.family.inputs(self.config, photo, Fitted(columns * cell, rows * cell, 1, 1, rows * columns))
        return onnxruntime.InferenceSession(self.path).run(None, inputs)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return what writes the graph of a tiny vision encoder once."""
    made = {}

    def written(name, *, eight_bits=False):
        if (name, eight_bits) not in made:
            made[name, eight_bits] = Written(
                projector_content(name), tmp_path_factory.mktemp(name), eight_bits=eight_bits
            )
        return made[name, eight_bits]

    return written


def layers_with(path, operator, domain):
    """Return the last names of the layers that have a node of an operator."""
    nodes = onnx.load(path, load_external_data=False).graph.node
    names = [node.name.removesuffix(".product") for node in nodes if (node.op_type, node.domain) == (operator, domain)]
    return {name.rpartition("blk.")[2].partition(".")[2] if "blk." in name else name for name in names}


@pytest.mark.parametrize("name", NAMES)
def test_every_tensor_is_reported_once(written, name):
    for eight_bits in (False, True):
        one = written(name, eight_bits=eight_bits)
        assert one.reports == len(one.source.names())


def test_only_the_matrices_of_the_blocks_have_eight_bits(written):
    blocks = {*QKV, "attn_out", "ffn_up", "ffn_down"}
    for name, expected in (("qwen2_5_vl", blocks | {"ffn_gate"}), ("qwen3_vl", blocks)):
        assert layers_with(written(name, eight_bits=True).path, "MatMulNBits", "com.microsoft") == expected


def test_mergers_stay_float32(written):
    deepstack = {f"v.deepstack.{layer}.{part}" for layer in (0, 2, 3) for part in ("fc1", "fc2")}
    for name, expected in (("qwen2_5_vl", {"mm.0", "mm.2"}), ("qwen3_vl", {"mm.0", "mm.2"} | deepstack)):
        assert layers_with(written(name, eight_bits=True).path, "FusedMatMul", "com.microsoft") == expected


@pytest.mark.parametrize("name", NAMES)
def test_eight_bits_stay_near_float32_in_less_room(written, name):
    exact, small = written(name), written(name, eight_bits=True)
    photo = smooth_photo(300, 200)
    for expected, found in zip(exact.see(photo, 5, 7), small.see(photo, 5, 7), strict=True):
        error = np.sqrt(((found - expected) ** 2).mean() / (expected**2).mean())
        assert 1e-4 < error < 0.05
    sizes = [one.path.with_name("vision.onnx.data").stat().st_size for one in (small, exact)]
    assert sizes[0] < sizes[1]


def fused(tensors):
    """Return tensors with queries, keys and values in one matrix for each block."""
    changed = dict(tensors)
    for name in tensors:
        if ".attn_q." in name:
            parts = [changed.pop(name.replace("attn_q", part)) for part in QKV]
            changed[name.replace("attn_q", "attn_qkv")] = np.concatenate(parts)
    return changed


def apart(tensors):
    """Return tensors with a matrix of its own for queries, keys and values each."""
    changed = dict(tensors)
    for name in tensors:
        if ".attn_qkv." in name:
            split = zip(QKV, np.split(changed.pop(name), 3), strict=True)
            changed |= {name.replace("attn_qkv", part): values for part, values in split}
    return changed


@pytest.mark.parametrize("eight_bits", [False, True])
@pytest.mark.parametrize(("name", "change"), [("qwen2_5_vl", fused), ("qwen3_vl", apart)])
def test_queries_keys_and_values_may_be_in_one_matrix_or_apart(tmp_path, written, name, change, eight_bits):
    content = projector_content(name)
    tensors = change(content.tensors)
    assert tensors.keys() != content.tensors.keys()
    other = Written(Content(content.metadata, tensors), tmp_path, eight_bits=eight_bits)
    assert other.reports == len(tensors)
    photo = smooth_photo(300, 200)
    for found, expected in zip(
        other.see(photo, 3, 5), written(name, eight_bits=eight_bits).see(photo, 3, 5), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_photo_is_seen_in_any_number_of_cells(written, name):
    photo = smooth_photo(300, 200)
    for rows, columns in ((1, 1), (1, 30), (9, 2)):
        features, *deepstack = written(name).see(photo, rows, columns)
        assert features.shape == (rows * columns, 64)
        assert np.isfinite(features).all()
        assert [one.shape for one in deepstack] == ([(3, rows * columns, 64)] if name == "qwen3_vl" else [])


def test_blocks_with_windows_see_no_further_than_their_window(tmp_path):
    # No block attends to the whole image.
    content = projector_content("qwen2_5_vl")
    one = Written(Content(content.metadata | {"clip.vision.n_wa_pattern": 9}, content.tensors), tmp_path)
    # A window is four cells wide. What changes in the last two columns of six is not seen in the first four.
    photo = smooth_photo(6 * 28, 2 * 28).copy()
    before = one.see(photo, 2, 6)[0].reshape(2, 6, -1)
    photo[:, -5:] = 0
    after = one.see(photo, 2, 6)[0].reshape(2, 6, -1)
    np.testing.assert_array_equal(after[:, :4], before[:, :4])
    assert np.abs(after - before)[:, 4:].max(axis=2).min() > 1e-3


def test_a_vision_encoder_without_deepstack_has_features_only(tmp_path):
    content = projector_content("qwen3_vl")
    tensors = {name: values for name, values in content.tensors.items() if "deepstack" not in name}
    metadata = {key: value for key, value in content.metadata.items() if "deepstack" not in key}
    outputs = Written(Content(metadata, tensors), tmp_path).see(smooth_photo(64, 64), 2, 2)
    assert [one.shape for one in outputs] == [(4, 64)]
