"""Packages that say one thing to who checks them and another to the runtime. Each test fails without its defence."""

import json

import onnx
import pytest

from olpipe.store.package_checks import check_package


def graph(location):
    """Return a graph whose one tensor lies in another file."""
    tensor = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[1])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return onnx.ModelProto(ir_version=10, graph=onnx.GraphProto(name="g", initializer=[tensor])).SerializeToString()


@pytest.fixture
def package(tmp_path):
    """Return a function that writes a package, and returns its folder."""

    def write(config, **files):
        (tmp_path / "genai_config.json").write_text(config if isinstance(config, str) else json.dumps(config))
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
        return tmp_path

    return write


@pytest.mark.parametrize("name", ["model.bin", "model", "model.ONNX", "model.onnx"])
def test_a_graph_is_checked_whatever_its_name_ends_in(package, name):
    config = {"model": {"decoder": {"pipeline": [{"stage": {"filename": name}}]}}}
    check_package(package(config, **{name: graph("model.onnx.data")}))
    with pytest.raises(ValueError, match="cannot be a file's path in a model"):
        check_package(package(config, **{name: graph("../../secret")}))


def test_a_file_that_no_configuration_names_is_no_graph_because_of_its_bytes(package):
    check_package(package({"model": {}}, **{"model.onnx.data": b"\xff\xff\xff"}))


@pytest.mark.parametrize(
    "text",
    [
        '{"decoder": {"session_options": {"custom_ops_library": "evil.so"}, "session_options": {}}}',
        '{"decoder": {"filename": "../../x.onnx", "filename": "model.onnx"}}',
        '{"decoder": {"filename": "../../x.onnx"}, "d\\u0065coder": {}}',
    ],
)
def test_a_configuration_that_says_something_twice_is_refused(package, text):
    with pytest.raises(ValueError, match="an object has the same name twice"):
        check_package(package(text))
