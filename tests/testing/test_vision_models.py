"""The tiny vision models of `olpipe.testing` are real files, and the same everywhere."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

from olpipe.testing.gguf import write_gguf
from olpipe.testing.vision.photos import smooth_photo
from olpipe.testing.vision_models import FAMILIES, MONOLITHIC, write_monolithic_gguf, write_vision_gguf


def weights(*paths):
    """Return all tensors of files, as the package `gguf` reads them."""
    tensors = [tensor for path in paths for tensor in gguf.GGUFReader(path).tensors]
    return {tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type) for tensor in tensors}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_gives_the_same_files_and_another_seed_others(family, tmp_path):
    first, again, other = (
        [path.read_bytes() for path in write_vision_gguf(family, tmp_path / str(number), seed=seed)]
        for number, seed in enumerate((1, 1, 2))
    )
    assert first == again
    assert all(one != another for one, another in zip(first, other, strict=True))


def test_weights_are_the_same_on_every_machine_and_with_every_numpy(tmp_path):
    _, projector = write_vision_gguf("idefics3", tmp_path)
    # Recorded once. If it changes, `tests/vision/references` must be recorded again.
    assert weights(projector)["mm.model.fc.weight"][0, :3].tolist() == [0.0029296875, 0.0029296875, -0.01025390625]
    assert smooth_photo(9, 7, seed=1)[3, 4].tolist() == [68, 154, 54]


@pytest.mark.parametrize("family", MONOLITHIC)
def test_one_file_holds_the_weights_of_both(family, tmp_path):
    one = weights(write_monolithic_gguf(family, tmp_path / "one.gguf"))
    both = weights(*write_vision_gguf(family, tmp_path / "both"))
    left_out = sum(values.size for values in both.values()) - sum(values.size for values in one.values())
    assert left_out == (64 if family == "gemma3" else 0)  # the row of one token
    assert np.array_equal(one["blk.1.ffn_up.weight"], both["blk.1.ffn_up.weight"])


@pytest.mark.parametrize(
    ("family", "name", "other", "part"),
    [
        ("gemma3", "v.blk.1.mlp.fc1.weight", "v.blk.1.ffn_up.weight", np.s_[:]),
        ("gemma3", "mm.mm_input_projection.weight", "mm.input_projection.weight", np.s_[:]),
        ("qwen2_5_vl", "v.patch_embd_1.weight", "v.patch_embd.weight.1", np.s_[:]),
        ("qwen3_vl", "v.blk.2.attn_v.weight", "v.blk.2.attn_qkv.weight", np.s_[2 * 96 :]),
        ("qwen3_vl", "v.deepstack_merger.1.linear_fc2.bias", "v.deepstack.2.fc2.bias", np.s_[:]),
    ],
)
def test_ollama_has_weights_under_other_names(family, name, other, part, tmp_path):
    one = weights(write_monolithic_gguf(family, tmp_path / "one.gguf"))
    both = weights(*write_vision_gguf(family, tmp_path / "both"))
    assert np.array_equal(one[name], both[other][part])


def test_ollama_has_both_frames_of_a_patch_in_one_tensor(tmp_path):
    one = weights(write_monolithic_gguf("qwen3_vl", tmp_path / "one.gguf"))["v.patch_embed.weight"]
    both = weights(*write_vision_gguf("qwen3_vl", tmp_path / "both"))
    # Row 3 * output + colour has the two frames of that colour.
    assert np.array_equal(one[3 * 5 + 2, 1], both["v.patch_embd.weight.1"][5, 2])
    assert np.array_equal(one[3 * 5 + 2, 0], both["v.patch_embd.weight"][5, 2])


@pytest.mark.parametrize("form", ["F16", "Q8_0"])
def test_a_format_that_would_round_is_refused(form, tmp_path):
    with pytest.raises(ValueError, match="without rounding"):
        write_gguf(tmp_path / "x.gguf", {}, {"x": np.linspace(0, 1, 32, dtype=np.float32)}, formats={"x": form})
