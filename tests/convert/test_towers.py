"""The graphs of vision encoders: tiles do not disturb each other, and eight bits stay near float32."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from olpipe.convert.gguf import open_gguf
from olpipe.convert.towers.encoder import Activation, Encoder
from olpipe.convert.vision_file import open_vision
from olpipe.convert.weights import WeightFile
from olpipe.families.table import family_for
from olpipe.interfaces.vision import VisionConfig
from olpipe.testing.vision.content import Content
from olpipe.testing.vision_models import projector_content

NAMES = ("idefics3", "llava", "gemma3")
HALF = (0.5, 0.5, 0.5)
CONFIG = VisionConfig("any", 1, 1, 1, 1, 1, 32, 40, 32, 1e-6, HALF, HALF)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return what writes the graph of a tiny vision encoder once, with how many tensors were reported."""
    made = {}

    def written(name, *, eight_bits):
        if (name, eight_bits) not in made:
            folder, reports = tmp_path_factory.mktemp(name), []
            source = open_vision(open_gguf(projector_content(name).write(folder / "mmproj.gguf")))
            family = family_for(source.projector, folder)
            config, path = family.read(source.metadata, source), folder / "vision.onnx"
            family.write(source, config, path, eight_bits=eight_bits, done=lambda: reports.append(None))
            made[name, eight_bits] = path, config, source, len(reports)
        return made[name, eight_bits]

    return written


def run(path, pixels):
    return onnxruntime.InferenceSession(path).run(["features"], {"pixels": pixels})[0]


def noise(config, tiles):
    size = config.image_size
    return np.random.default_rng(tiles).standard_normal((tiles, 3, size, size)).astype(np.float32)


@pytest.mark.parametrize("eight_bits", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_tiles_together_give_what_each_gives_alone(written, name, eight_bits):
    path, config, _, _ = written(name, eight_bits=eight_bits)
    pixels = noise(config, 3)
    alone = [run(path, pixels[tile : tile + 1]) for tile in range(3)]
    assert alone[0].shape[1] == config.output_width
    np.testing.assert_allclose(run(path, pixels), np.concatenate(alone), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_every_tensor_is_reported(written, name):
    for eight_bits in (False, True):
        _, _, source, reports = written(name, eight_bits=eight_bits)
        assert reports == len(source.names())


@pytest.mark.parametrize("name", NAMES)
def test_eight_bits_stay_near_float32_in_less_room(written, name):
    exact, config, _, _ = written(name, eight_bits=False)
    small, _, _, _ = written(name, eight_bits=True)
    pixels = noise(config, 2)
    expected, features = run(exact, pixels), run(small, pixels)
    error = np.sqrt(((features - expected) ** 2).mean() / (expected**2).mean())
    assert 1e-4 < error < 0.05
    sizes = [path.with_name("vision.onnx.data").stat().st_size for path in (small, exact)]
    assert sizes[0] < 0.7 * sizes[1]


def quantised(path):
    """Return the names of the layers whose matrices have eight bits."""
    nodes = onnx.load(path, load_external_data=False).graph.node
    return {node.name.rpartition(".")[2] for node in nodes if node.op_type == "MatMulNBits"}


@pytest.mark.parametrize("name", NAMES)
def test_only_the_matrices_of_the_blocks_have_eight_bits(written, name):
    path, _, _, _ = written(name, eight_bits=True)
    assert quantised(path) == {"attn_q", "attn_k", "attn_v", "attn_out", "ffn_up", "ffn_down"}


def gelu(values):
    return values / (1 + np.exp(-1.702 * values))


@pytest.mark.parametrize("eight_bits", [False, True])
@pytest.mark.parametrize("gated", [False, True])
def test_the_inner_width_of_a_feed_forward_block_need_not_be_whole_blocks(tmp_path, gated, eight_bits):
    # 1. The values are such that eight bits hold them exactly: whole numbers, with the largest one in every block.
    rng = np.random.default_rng(0)

    def matrix(rows, columns):
        values = rng.integers(-127, 128, (rows, columns)).astype(np.float32)
        values[:, ::32] = 127
        return values / 1024

    tensors = {"ffn_up.weight": matrix(40, 32), "ffn_down.weight": matrix(32, 40), "ffn_up.bias": matrix(1, 40)[0]}
    if gated:
        tensors["ffn_gate.weight"] = matrix(40, 32)
    inputs = matrix(3, 32)
    # 2. The graph of the block alone.
    content = Content({"general.architecture": "clip"}, {f"block.{name}": values for name, values in tensors.items()})
    source = open_vision(open_gguf(content.write(tmp_path / "block.gguf")))
    path = tmp_path / "block.onnx"
    with WeightFile(tmp_path / "block.onnx.data") as weights:
        encoder = Encoder(source, CONFIG, weights, eight_bits=eight_bits, done=lambda: None)
        encoder.feed_forward("values", "block", Activation.QUICK_GELU)
        graph = encoder.finished({"values": (np.float32, ["rows", 32])}, {"block.ffn_down.output": ["rows", 32]})
    opsets = [onnx.helper.make_opsetid("", 21), onnx.helper.make_opsetid("com.microsoft", 1)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    # 3. The same by numpy.
    opened = inputs @ tensors["ffn_up.weight"].T + tensors["ffn_up.bias"]
    inner = gelu(inputs @ tensors["ffn_gate.weight"].T) * opened if gated else gelu(opened)
    expected = inner @ tensors["ffn_down.weight"].T
    (found,) = onnxruntime.InferenceSession(path).run(None, {"values": inputs})
    np.testing.assert_allclose(found, expected, rtol=0, atol=(0.02 if eight_bits else 1e-6) * np.abs(expected).max())
