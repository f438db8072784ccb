"""What the vision encoders of packages get to see, and how their files are read."""

from __future__ import annotations

import json
import math

import numpy as np
import onnx
import pytest
from PIL import Image

from olpipe.default_plugins.ort_genai.backend import OrtGenaiBackend
from olpipe.default_plugins.ort_genai.seeing_types import eyes_for
from olpipe.default_plugins.ort_genai.vision_files import VisionFiles
from olpipe.default_plugins.packages import TextPackage
from olpipe.errors import ModelCorrupt, ModelUnsupported
from olpipe.image import DecodedImage
from olpipe.model import LoadOptions, ModelBundle, ModelName
from olpipe.testing.seeing_packages import write_seeing_package

# Source: https://github.com/openai/CLIP/blob/main/clip/clip.py
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def noise(width, height, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def eyes_of(folder):
    bundle = ModelBundle(ModelName.parse("tiny"), "sha256:0", folder, folder)
    files = TextPackage.read(folder, bundle)
    return eyes_for(VisionFiles.read(folder, "tiny"), files.vocabulary(), files.template)


def seen(folder, pixels, tokens=4096):
    """Return the tensors for one image, and how it is fitted."""
    eyes = eyes_of(folder)
    fitted = eyes.fit(pixels.shape[1], pixels.shape[0], tokens)
    return eyes.tensors(pixels, fitted), fitted


@pytest.fixture
def write(tmp_path):
    """Write a package whose configuration, steps or graph are changed before they are read."""

    def write(kind, *, model=None, vision=None, steps=None, graph=None):
        folder = write_seeing_package(tmp_path / "package", kind)
        config = json.loads((folder / "genai_config.json").read_text())
        config["model"] |= model or {}
        config["model"]["vision"] |= vision or {}
        (folder / "genai_config.json").write_text(json.dumps(config))
        processor = json.loads((folder / "processor_config.json").read_text())
        for step in processor["processor"]["transforms"]:
            step["operation"]["attrs"] |= (steps or {}).get(step["operation"]["type"], {})
        (folder / "processor_config.json").write_text(json.dumps(processor))
        if graph:
            made = onnx.load(folder / "vision.onnx", load_external_data=False)
            graph(made.graph)
            onnx.save(made, folder / "vision.onnx")
        return folder

    return write


@pytest.mark.parametrize(
    ("kind", "side", "mean", "std"),
    [("qwen2_5_vl", 14, CLIP_MEAN, CLIP_STD), ("qwen3_vl", 16, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))],
)
def test_patches_of_qwen_come_cell_by_cell_and_hold_a_photo_twice(write, kind, side, mean, std):
    pixels = noise(6 * side, 4 * side)  # no resizing
    tensors, fitted = seen(write(kind), pixels)
    assert (fitted.width, fitted.height, fitted.tokens) == (6 * side, 4 * side, 6)
    assert tensors["image_grid_thw"].tolist() == [[1, 4, 6]]
    patches = []
    for top, left in [(2 * row, 2 * column) for row in range(2) for column in range(3)]:
        for row, column in [(top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)]:
            patch = pixels[row * side : (row + 1) * side, column * side : (column + 1) * side]
            colours = [(patch[..., at] / 255 - mean[at]) / std[at] for at in range(3)]
            patches.append(np.concatenate([half for colour in colours for half in (colour.ravel(), colour.ravel())]))
    assert np.allclose(tensors["pixel_values"], np.array(patches), atol=1e-6)


def test_a_photo_for_qwen_is_stretched_to_whole_cells(write):
    pixels = noise(300, 200)
    tensors, _ = seen(write("qwen2_5_vl"), pixels)
    stretched = np.asarray(Image.fromarray(pixels).resize((252, 168), Image.Resampling.BICUBIC))
    expected, _ = seen(write("qwen2_5_vl"), stretched)
    assert np.array_equal(tensors["pixel_values"], expected["pixel_values"])


def test_the_limits_of_a_package_hold_for_photos(write):
    limits = {"min_pixels": 16 * 28 * 28, "max_pixels": 20 * 28 * 28}
    folder = write("qwen2_5_vl", steps={"Resize": limits})
    assert seen(folder, noise(30, 30))[1].tokens == 16
    assert 12 <= seen(folder, noise(900, 900))[1].tokens <= 20


def test_the_colours_of_a_package_hold_for_photos(write):
    folder = write("qwen2_5_vl", steps={"Normalize": {"mean": [0, 0, 0], "std": [1, 1, 1]}})
    tensors, _ = seen(folder, np.full((56, 56, 3), 51, np.uint8))
    assert np.allclose(tensors["pixel_values"], 0.2)


def hd_reference(pixels, most):
    """Return what the makers of Phi-3 vision do to an image before it is cut, and with which white margins."""
    image = Image.fromarray(pixels)
    upright = image.width < image.height
    image = image.transpose(Image.Transpose.TRANSPOSE) if upright else image
    ratio, scale = image.width / image.height, 1
    while scale * math.ceil(scale / ratio) <= most:
        scale += 1
    width = (scale - 1) * 336
    image = image.resize((width, int(width / ratio)), Image.Resampling.BILINEAR)
    height = math.ceil(image.height / 336) * 336
    padded = Image.new("RGB", (width, height), "white")
    padded.paste(image, (0, (height - image.height) // 2))
    return np.asarray(padded.transpose(Image.Transpose.TRANSPOSE) if upright else padded)


def cubic(distance, sharpness=-0.75):
    """Return how much a pixel at a distance counts. Source: Keys, Cubic Convolution Interpolation, 1981, equation 4."""
    distance = abs(distance)
    if distance <= 1:
        return (sharpness + 2) * distance**3 - (sharpness + 3) * distance**2 + 1
    return sharpness * (distance**3 - 5 * distance**2 + 8 * distance - 4) if distance < 2 else 0.0


def shrunk_at(plane, row, column):
    """Return one pixel of a plane that is shrunk to 336 x 336, as the sum over the sixteen pixels around its point."""
    y, x = ((at + 0.5) * length / 336 - 0.5 for at, length in zip((row, column), plane.shape, strict=True))
    total = 0.0
    for i in range(math.floor(y) - 1, math.floor(y) + 3):
        for j in range(math.floor(x) - 1, math.floor(x) + 3):
            value = plane[min(max(i, 0), plane.shape[0] - 1), min(max(j, 0), plane.shape[1] - 1)]
            total += cubic(y - i) * cubic(x - j) * value
    return total


@pytest.mark.parametrize("most", [1, 4, 16])
@pytest.mark.parametrize(("width", "height"), [(300, 200), (200, 330), (336, 336), (1000, 90), (41, 37)])
def test_phi_sees_a_photo_as_its_makers_cut_it(write, width, height, most):
    pixels = noise(width, height)
    tensors, fitted = seen(write("phi3v"), pixels, (most + 1) * 156 + 1)
    whole = (hd_reference(pixels, most) / 255 - CLIP_MEAN) / CLIP_STD
    rows, columns = whole.shape[0] // 336, whole.shape[1] // 336
    assert tensors["image_sizes"].tolist() == [[rows * 336, columns * 336]]
    assert fitted.tokens == (rows * columns + 1) * 144 + 1 + (rows + 1) * 12
    small, *tiles = tensors["pixel_values"][0]
    for number, tile in enumerate(tiles):
        top, left = number // columns * 336, number % columns * 336
        assert np.allclose(tile.transpose(1, 2, 0), whole[top : top + 336, left : left + 336], atol=1e-5)
    assert len(tiles) == rows * columns
    for colour, row, column in [(0, 0, 0), (1, 335, 335), (2, 100, 7), (0, 168, 335), (1, 3, 200)]:
        assert small[colour, row, column] == pytest.approx(shrunk_at(whole[..., colour], row, column), abs=1e-5)


def test_an_image_of_phi_may_be_as_narrow_as_one_pixel(write):
    tensors, fitted = seen(write("phi3v"), noise(3000, 1))
    assert (fitted.width, fitted.height) == (16 * 336, 1)
    assert tensors["pixel_values"].shape == (1, 17, 3, 336, 336)


def test_a_graph_of_phi_with_a_fixed_number_of_tiles_gets_so_many(write):
    def fix(graph):
        graph.input[0].type.tensor_type.shape.dim[1].dim_value = 6

    folder = write("phi3v", graph=fix)
    eyes = eyes_of(folder)
    assert seen(folder, noise(336, 336))[1].tokens <= 6 * 156
    tensors, _ = seen(folder, noise(336, 336), 400)
    joined = eyes.joined([tensors])["pixel_values"]
    assert joined.shape == (1, 6, 3, 336, 336)
    assert np.array_equal(joined[:, :2], tensors["pixel_values"])
    assert not joined[:, 2:].any()


def test_an_image_of_mistral_is_rows_of_placeholders_with_marks(write):
    folder = write("mistral3")
    eyes = eyes_of(folder)
    ids = {one["content"]: one["id"] for one in json.loads((folder / "tokenizer.json").read_text())["added_tokens"]}
    span = eyes.span(DecodedImage(noise(84, 56), width=84, height=56), 64)
    row = [ids["[IMG]"]] * 3
    assert list(span.tokens) == [*row, ids["[IMG_BREAK]"], *row, ids["[IMG_END]"]]
    assert span.rows == (1, 2, 3, 0, 4, 5, 6, 0)
    assert (span.shown.width, span.shown.height, span.shown.tokens) == (84, 56, 8)


def test_images_of_mistral_are_filled_up_to_the_largest(write):
    eyes = eyes_of(write("mistral3"))
    images = [eyes.tensors(noise(*size), eyes.fit(*size, 64)) for size in ((84, 56), (28, 112))]
    joined = eyes.joined(images)
    assert joined["image_sizes"].tolist() == [[56, 84], [112, 28]]
    wide, tall = joined["pixel_values"]
    assert wide.shape == tall.shape == (3, 112, 84)
    expected = (noise(84, 56) / 255 - CLIP_MEAN) / CLIP_STD
    assert np.allclose(wide[:, :56].transpose(1, 2, 0), expected, atol=1e-6)
    assert not wide[:, 56:].any()
    assert not tall[:, :, 28:].any()


def test_images_of_gemma_are_squares(write):
    pixels = noise(300, 200)
    tensors, fitted = seen(write("gemma3"), pixels)
    square = np.asarray(Image.fromarray(pixels).resize((896, 896), Image.Resampling.BILINEAR))
    assert fitted.tokens == 256
    assert np.allclose(tensors["pixel_values"][0].transpose(1, 2, 0), square / 127.5 - 1, atol=1e-6)


def test_pixels_have_the_type_that_the_graph_takes(write):
    def halve(graph):
        graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16

    eyes = eyes_of(write("qwen2_5_vl", graph=halve))
    span = eyes.span(DecodedImage(noise(56, 56), width=56, height=56), 64)
    prompt = eyes.look(_prompt_of(span))[0]
    assert eyes.inputs(prompt)["pixel_values"].dtype == np.float16


def _prompt_of(span):
    from olpipe.decoding.prompt import Prompt

    return Prompt((*span.tokens, 40, 41), (span.placed(0),))


def test_inputs_have_the_names_of_the_graph_and_those_of_the_runtime(write):
    def rename(graph):
        graph.input[1].name = "grid"
        graph.node[0].input[0] = "grid"

    inputs = {"pixel_values": "pixel_values", "image_grid_thw": "grid"}
    eyes = eyes_of(write("qwen2_5_vl", vision={"inputs": inputs}, graph=rename))
    span = eyes.span(DecodedImage(noise(56, 56), width=56, height=56), 64)
    made = eyes.inputs(eyes.look(_prompt_of(span))[0])
    assert made["grid"].tolist() == made["image_grid_thw"].tolist() == [[1, 4, 4]]


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (
            "qwen2_5_vl",
            {"vision": {"patch_size": 16}},
            "the vision encoder of `tiny:latest` takes patches of `1176` numbers, but its configuration makes `1536`",
        ),
        ("qwen2_5_vl", {"vision": {"patch_size": "14"}}, "has an unusable size of patches: `14`"),
        ("qwen2_5_vl", {"vision": {"spatial_merge_size": 0}}, "has an unusable number of patches of a token: `0`"),
        ("qwen2_5_vl", {"vision": {"inputs": []}}, "cannot be used: `inputs` of `vision` are not names"),
        ("qwen2_5_vl", {"vision": {"filename": "gone.onnx"}}, "has a vision encoder that cannot be used: [Errno 2]"),
        ("qwen2_5_vl", {"vision": {"filename": "tokenizer.json"}}, "`tokenizer.json` is not an ONNX file"),
        ("qwen2_5_vl", {"vision": {"config_filename": "model.onnx"}}, "has a vision encoder that cannot be used: "),
        ("qwen2_5_vl", {"vision": {"inputs": {"pixel_values": "x"}}}, "cannot be used: `x` is missing"),
        ("qwen2_5_vl", {"model": {"image_token_id": None}}, "`image_token_id` is `None`, which is no token"),
        ("qwen2_5_vl", {"model": {"image_token_id": 40}}, "calls the token `40` a `<|image_pad|>`, but its tokenizer"),
        ("qwen2_5_vl", {"model": {"vision_start_token_id": 3}}, "calls the token `3` a `<|vision_start|>`, but its"),
        ("qwen2_5_vl", {"steps": {"Resize": {"max_pixels": -1}}}, "has an unusable largest number of pixels: `-1`"),
        ("qwen2_5_vl", {"steps": {"Normalize": {"std": [0, 1, 1]}}}, "has an unusable `std`: `[0, 1, 1]`"),
        ("qwen2_5_vl", {"steps": {"Normalize": {"mean": [0, 1]}}}, "has an unusable `mean`: `[0, 1]`"),
        ("phi3v", {"steps": {"Phi3ImageTransform": {"num_crops": 0}}}, "has an unusable number of tiles: `0`"),
    ],
)
def test_files_that_contradict_each_other_are_told(write, kind, changes, message):
    folder = write(kind, **changes)
    bundle = ModelBundle(ModelName.parse("tiny"), "sha256:0", folder, folder)
    with pytest.raises(ModelCorrupt) as caught:
        OrtGenaiBackend().load(bundle, LoadOptions())
    assert message in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("kind", "taken"),
    [("phi3v", "images in tiles of `336` pixels"), ("gemma3", "images of `896` pixels a side")],
)
def test_a_graph_of_another_type_is_told(write, kind, taken):
    def shrink(graph):
        graph.input[0].type.tensor_type.shape.dim[-1].dim_value = 224

    with pytest.raises(ModelCorrupt, match=f"the vision encoder of `tiny` takes no {taken}"):
        eyes_of(write(kind, graph=shrink))


def test_pixels_of_other_types_are_not_made(write):
    def round_off(graph):
        graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8

    with pytest.raises(ModelUnsupported, match="the vision encoder of `tiny` takes pixels as `uint8`"):
        eyes_of(write("qwen2_5_vl", graph=round_off))


def test_a_package_without_steps_has_what_is_usual(write):
    folder = write("qwen2_5_vl")
    (folder / "processor_config.json").unlink()
    tensors, fitted = seen(folder, noise(84, 56))
    with_steps, _ = seen(write("qwen2_5_vl"), noise(84, 56))
    assert fitted.tokens == 6
    assert np.array_equal(tensors["pixel_values"], with_steps["pixel_values"])
