"""Detector and classifier on tiny networks made here, run by the real ONNX Runtime."""

import sys

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from olpipe.errors import BackendMissing
from olpipe.image import Box, DecodedImage
from olpipe.perception.classifier import Classifier
from olpipe.perception.detector import Detector, to_box
from olpipe.perception.pixels import letterbox

share = st.floats(-0.5, 1.5)


def save(path, nodes, image_shape, output, output_shape, constants):
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, image_shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, output_shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    onnx.save(model, path)
    return path


def fixed_detector(path, rows):
    """Make a network that finds the same in every photo, scores multiplied by the photo's mean / 255."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "weights"], ["scales"]),
        helper.make_node("Add", ["scales", "rest"], ["factors"]),
        helper.make_node("Mul", ["rows", "factors"], ["detections"]),
    ]
    constants = {
        "rows": np.array([rows], np.float32),
        "weights": np.array([0, 0, 0, 0, 1 / 255, 0], np.float32),
        "rest": np.array([1, 1, 1, 1, 0, 1], np.float32),
    }
    return save(path, nodes, [1, 8, 8, 3], "detections", [1, len(rows), 6], constants)


def mean_colour_classifier(path):
    """Make a network of three classes: which of red, green and blue prevails."""
    nodes = [
        helper.make_node("ReduceMean", ["image", "axes"], ["means"], keepdims=0),
        helper.make_node("Softmax", ["means"], ["probabilities"], axis=-1),
    ]
    return save(path, nodes, ["n", 4, 4, 3], "probabilities", ["n", 3], {"axes": np.array([1, 2], np.int64)})


def white(height, width):
    return DecodedImage(np.full((height, width, 3), 255, np.uint8), width=width, height=height)


def test_a_detector_gives_boxes_in_pixels_of_the_original(tmp_path):
    path = fixed_detector(tmp_path / "d.onnx", [[0.25, 0.5, 0.75, 1.0, 1.0, 1]])
    photo = DecodedImage(np.full((50, 100, 3), 255, np.uint8), width=400, height=200)
    (found,) = Detector(path, ["cat", "dog"]).detect(photo, min_score=0.5, max_overlap=0.6)
    # The square is 400 pixels wide, the photo its middle 200: half of it below the square's middle.
    assert (found.label, found.box) == ("dog", Box(100, 100, 200, 100))
    assert found.score == pytest.approx((255 + 114) / 2 / 255)


def test_a_detector_drops_what_is_unsure_twice_or_degenerate_and_sorts_the_rest(tmp_path):
    rows = [
        [0.0, 0.0, 0.5, 0.5, 0.6, 0],
        [0.0, 0.0, 0.5, 0.49, 0.7, 0],  # the same thing, surer
        [0.0, 0.0, 0.5, 0.5, 0.8, 1],  # the same place, another thing
        [0.5, 0.5, 0.9, 0.9, 0.1, 0],  # unsure
        [0.5, 0.5, 0.9, 0.501, 0.9, 0],  # a line
    ]
    found = Detector(fixed_detector(tmp_path / "d.onnx", rows), ["cat", "dog"]).detect(
        white(100, 100), min_score=0.3, max_overlap=0.6
    )
    assert [(one.label, one.box) for one in found] == [("dog", Box(0, 0, 50, 50)), ("cat", Box(0, 0, 50, 49))]


def test_a_detector_finds_nothing_in_a_photo_without_anything(tmp_path):
    detector = Detector(fixed_detector(tmp_path / "d.onnx", [[0, 0, 1, 1, 0.9, 0]]), ["cat"])
    black = DecodedImage(np.zeros((9, 9, 3), np.uint8), width=9, height=9)
    assert detector.detect(black, min_score=0.1, max_overlap=0.6) == ()


def test_a_classifier_takes_pictures_of_different_sizes_at_once(tmp_path):
    red = np.zeros((10, 30, 3), np.uint8)
    red[..., 0] = 255
    blue = np.zeros((7, 5, 3), np.uint8)
    blue[..., 2] = 255
    found = Classifier(mean_colour_classifier(tmp_path / "c.onnx")).classify([red, blue])
    assert found.shape == (2, 3)
    assert found.argmax(axis=1).tolist() == [0, 2]


@given(share, share, share, share, st.integers(1, 5000), st.integers(1, 5000))
def test_a_box_lies_inside_the_image_or_is_dropped(x1, y1, x2, y2, width, height):
    box = to_box(np.array([x1, y1, x2, y2]), width, height)
    if box is not None:
        assert min(box.x, box.y) >= 0
        assert min(box.w, box.h) >= 2
        assert box.x + box.w <= width
        assert box.y + box.h <= height


@given(st.integers(2, 5000), st.integers(2, 5000))
def test_a_box_that_sticks_out_on_all_sides_is_the_whole_image(width, height):
    assert to_box(np.array([-0.1, -0.2, 1.3, 1.4]), width, height) == Box(0, 0, width, height)


@given(st.integers(1, 300), st.integers(1, 300), st.data())
def test_a_box_drawn_on_the_grey_square_comes_back(width, height, data):
    x, y = data.draw(st.integers(0, width)), data.draw(st.integers(0, height))
    w, h = data.draw(st.integers(2, width + 2)), data.draw(st.integers(2, height + 2))
    side = max(width, height)
    left, top = (side - width) / 2, (side - height) / 2
    corners = np.array([x + left, y + top, x + w + left, y + h + top]) / side
    expected = Box(x, y, min(w, width - x), min(h, height - y))
    fits = expected.w >= 2 and expected.h >= 2
    assert to_box(corners, width, height) == (expected if fits else None)


def test_a_letterbox_keeps_proportions_and_fills_up_with_grey():
    found = letterbox(np.full((20, 40, 3), 255, np.uint8), 8)
    assert found.shape == (8, 8, 3)
    assert (found[2:6] == 255).all()
    assert (found[:2] == 114).all()
    assert (found[6:] == 114).all()


def test_a_letterbox_keeps_at_least_one_row_of_the_thinnest_picture():
    assert (letterbox(np.full((1, 1000, 3), 255, np.uint8), 8) == 255).any()


def test_a_missing_runtime_is_named_with_the_install_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendMissing, match="ONNX Runtime is not installed") as caught:
        Classifier(tmp_path / "c.onnx")
    assert "pip install 'olpipe[cpu]'" in caught.value.hint
