"""Models that see, on the command line: how they are pulled, what `show` says, and `--image-tokens` and `--device`."""

import json
from dataclasses import replace

import numpy as np
import pytest

from olpipe.cli.main import main
from olpipe.model import MEDIA_TYPE, ModelConfig, ModelName
from olpipe.store.library import Library
from olpipe.testing.gguf import write_gguf
from olpipe.testing.install import install_plugin
from olpipe.testing.models import write_tiny_gguf
from olpipe.testing.vision_models import write_vision_gguf

SEER = """
from olpipe.errors import UsageError
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import Backend

class Seer(Backend):
    name, version = "seer", "1"
    def refuses(self, bundle):
        return None
    def load(self, bundle, options):
        raise UsageError(f"{options.image_tokens} tokens on {options.device or 'anything'}")

@hookimpl
def register_backends():
    return [Seer()]
"""


@pytest.fixture
def run(capsys):
    """Run a command line and return exit code, data and talk."""

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main(list(map(str, arguments)))
        captured = capsys.readouterr()
        return caught.value.code, captured.out, captured.err

    return run


@pytest.fixture
def seer(plugin_folder):
    """A backend that takes every model, and that says how it should be loaded."""
    (plugin_folder / "seer_under_test.py").write_text(SEER)
    install_plugin(plugin_folder, "seer", "seer_under_test")


@pytest.fixture
def library(isolated_home):
    return Library(isolated_home / "models", cache=isolated_home / "cache")


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A text model and its projector, in the working folder."""
    folder = tmp_path / "files"
    folder.mkdir()
    monkeypatch.chdir(folder)
    write_tiny_gguf(folder / "Tiny-VL.gguf")
    write_projector(folder / "mmproj.gguf")
    return folder


def write_projector(path, **metadata):
    usual = {
        "general.architecture": "clip",
        "clip.has_vision_encoder": True,
        "clip.projector_type": "qwen2.5vl_merger",
        "clip.vision.image_size": 560,
        "clip.vision.patch_size": 14,
        "clip.vision.embedding_length": 16,
    }
    tensors = {
        "v.patch_embd.weight": np.zeros((16, 3, 14, 14), np.float32),
        "mm.2.weight": np.zeros((64, 16), np.float32),
    }
    write_gguf(path, usual | metadata, tensors)


# --- pull --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [("file:Tiny-VL.gguf", "--projector", "mmproj.gguf"), ("file:Tiny-VL.gguf#mmproj.gguf",), ("file:.",)],
)
def test_a_model_is_pulled_with_its_projector(run, seer, files, library, arguments):
    code, out, said = run("pull", *arguments)
    assert (code, out) == (0, "")
    reference = "file:." if arguments == ("file:.",) else "file:Tiny-VL.gguf#mmproj.gguf"
    assert said == f"pulling `tiny-vl:latest` from `{reference}`\nsuccess\n"
    bundle = library.get(ModelName.parse("tiny-vl"))
    assert bundle.config.capabilities == ("completion", "vision")
    assert sorted(path.name for path in bundle.path.iterdir()) == ["model.gguf", "projector.gguf"]


@pytest.mark.parametrize(
    ("arguments", "code", "message", "hint"),
    [
        (
            ("photo-mini", "--projector", "mmproj.gguf"),
            2,
            "`--projector` goes with `file:PATH`, and not with `photo-mini`",
            "leave it out, or name the file of the text model",
        ),
        (
            ("pip:tiny==1.0", "--projector", "mmproj.gguf"),
            2,
            "`--projector` goes with `file:PATH`, and not with `pip:tiny==1.0`",
            "leave it out, or name the file of the text model",
        ),
        (
            ("file:Tiny-VL.gguf#mmproj.gguf", "--projector", "other.gguf"),
            2,
            "`file:Tiny-VL.gguf#mmproj.gguf` names a projector already",
            "leave out `--projector other.gguf`",
        ),
        (
            ("file:Tiny-VL.gguf", "--projector", ""),
            2,
            "`--projector` is empty",
            "name the .gguf file of the vision encoder",
        ),
        (
            ("file:mmproj.gguf",),
            1,
            "`mmproj.gguf` is a vision encoder, and no text model",
            "name the text model, and this file behind `--projector`",
        ),
    ],
)
def test_a_projector_in_the_wrong_place_is_one_line(run, seer, files, library, arguments, code, message, hint):
    assert run("pull", *arguments) == (code, "", f"error: {message}\nhint: {hint}\n")
    assert library.names() == []


# --- show --------------------------------------------------------------------------------------


@pytest.fixture
def store(library, files):
    """Return a function that stores a model of GGUF files, each under its layer's name."""

    def store(**layers):
        added = []
        for kind, path in layers.items():
            layer = library.add_file(files / path)
            added.append(replace(layer, name=f"{kind}.gguf", media_type=MEDIA_TYPE + kind))
        config = ModelConfig(model_format="gguf", capabilities=("completion", "vision"))
        library.commit(ModelName.parse("tiny-vl"), config, added)

    return store


def test_show_tells_of_the_projector(run, store):
    store(model="Tiny-VL.gguf", projector="mmproj.gguf")
    code, out, _ = run("show", "tiny-vl")
    assert code == 0
    assert (
        "\n\n  Projector\n"
        "    architecture        clip\n"
        "    parameters          10K\n"  # 16 * 3 * 14 * 14 + 64 * 16
        "    embedding length    16\n"
        "    dimensions          64\n"
        "    type                qwen2.5vl_merger\n"
        "    image size          560\n"
        "    patch size          14\n"
        "    quantization        F32\n"
        "\n  Backends\n"
    ) in out
    shown = json.loads(run("show", "tiny-vl", "--json")[1])["projector"]
    assert (shown["projector"], shown["parameters"], shown["dimensions"]) == ("qwen2.5vl_merger", 10432, 64)


@pytest.mark.parametrize(("family", "tokens"), [("gemma3", 16), ("llava", 25), ("qwen2_5_vl", 64)])
def test_show_tells_how_many_tokens_a_photo_becomes(run, store, files, family, tokens):
    # The tiny encoders of gemma3 and llava see every image in one size: 8 x 8 patches, of which four become one token,
    # and 5 x 5 patches. That of Qwen sees at most 224 x 224 pixels, of which 28 x 28 become one token.
    write_vision_gguf(family, files)
    store(model="text.gguf", projector="mmproj.gguf")
    assert f"    image tokens        {tokens}\n" in run("show", "tiny-vl")[1]


@pytest.mark.parametrize(
    ("family", "name", "boxes"),
    [
        ("gemma3", "Gemma 3", "none"),
        ("qwen2_5_vl", "Qwen2.5-VL", "bbox_2d: xyxy in pixels"),
        ("qwen3_vl", "Qwen3-VL", "bbox_2d: xyxy in thousandths"),
    ],
)
def test_show_tells_the_family_and_how_it_says_boxes(run, store, files, family, name, boxes):
    write_vision_gguf(family, files)
    store(model="text.gguf", projector="mmproj.gguf")
    shown = run("show", "tiny-vl")[1]
    assert f"    family              {name}\n" in shown
    assert f"    boxes               {boxes}\n" in shown


def test_show_tells_of_an_encoder_in_the_models_own_file(run, store, files):
    metadata = {
        "general.architecture": "gemma3",
        "gemma3.embedding_length": 64,
        "gemma3.mm.tokens_per_image": 256,
        "gemma3.vision.image_size": 896,
        "gemma3.vision.patch_size": 14,
        "gemma3.vision.embedding_length": 16,
    }
    tensors = {
        "token_embd.weight": np.zeros((32, 64), np.float32),
        "v.patch_embedding.weight": np.zeros((16, 3, 14, 14), np.float32),
        "mm.mm_input_projection.weight": np.zeros((16, 64), np.float32),
    }
    write_gguf(files / "whole.gguf", metadata, tensors, formats={"v.patch_embedding.weight": "F16"})
    store(model="whole.gguf")
    assert (
        "\n\n  Projector\n"
        "    architecture        gemma3\n"
        "    parameters          10K\n"  # without the embedding of the text model
        "    embedding length    16\n"
        "    dimensions          64\n"
        "    type                gemma3\n"
        "    image size          896\n"
        "    patch size          14\n"
        "    quantization        F16\n\n"
    ) in run("show", "tiny-vl")[1]


def test_show_leaves_out_what_the_projector_does_not_say(run, store, files):
    unsaid = {"clip.vision.image_size": 0, "clip.vision.patch_size": "x", "clip.projector_type": "of-tomorrow"}
    write_projector(files / "mmproj.gguf", **unsaid)
    store(model="Tiny-VL.gguf", projector="mmproj.gguf")
    out = run("show", "tiny-vl")[1]
    assert "    type                of-tomorrow\n    quantization        F32\n" in out


def test_show_has_no_projector_where_the_model_does_not_see(run, store):
    store(model="Tiny-VL.gguf")
    assert "Projector" not in run("show", "tiny-vl")[1]
    assert json.loads(run("show", "tiny-vl", "--json")[1])["projector"] is None


# --- --image-tokens and --device ---------------------------------------------------------------


def test_run_loads_the_model_as_the_options_say(run, seer, store):
    store(model="Tiny-VL.gguf")
    asked = run("run", "tiny-vl", "hi", "--image-tokens", 70, "--device", "cpu")
    assert asked == (2, "", "error: 70 tokens on cpu\n")
    assert run("run", "tiny-vl", "hi") == (2, "", "error: 0 tokens on anything\n")


def test_batch_loads_the_model_as_the_options_say(batch, seer):
    batch.put("a.jpg")
    code, said = batch.run("--backend", "seer", "--image-tokens", 70, "--device", "cpu")
    assert (code, said.splitlines()[-1]) == (2, "error: 70 tokens on cpu")


def test_batch_takes_the_number_of_image_tokens_from_the_recipe_unless_an_option_says_it(batch, seer, tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text('name = "a"\ntask = "data"\nmodel = "echo"\nprompt = "p"\nimage_tokens = 280\n[schema]\n')
    batch.put("a.jpg")
    usual = ("--backend", "seer", "--recipe", path)
    assert batch.run(*usual)[1].splitlines()[-1] == "error: 280 tokens on anything"
    assert batch.run(*usual, "--image-tokens", 70)[1].splitlines()[-1] == "error: 70 tokens on anything"


def test_records_with_another_number_of_image_tokens_are_records_of_their_own(batch):
    batch.put("a.jpg")
    batch.run()
    key = batch.report["recipe"]["key"]
    batch.run("--image-tokens", 70, "--device", "cpu")
    assert (batch.report["photos"]["records"], batch.report["recipe"]["key"] == key) == (1, False)
    batch.run("--device", "cpu")
    assert (batch.report["photos"]["records"], batch.report["recipe"]["key"] == key) == (0, True)


@pytest.fixture
def blind(library, echo_plugin):
    """A model that does not see."""
    layer = replace(library.add_bytes(b"{}"), name="echo.json")
    library.commit(ModelName.parse("blind"), ModelConfig(model_format="echo"), [layer])


def test_a_model_that_does_not_see_takes_no_number_of_image_tokens(run, blind):
    assert run("run", "blind", "hi", "there", "--image-tokens", 70) == (
        2,
        "",
        "error: model `blind:latest` does not see images, so no image becomes 70 tokens\n"
        "hint: leave out `--image-tokens`\n",
    )


def test_a_batch_with_a_model_that_does_not_see_takes_no_number_of_image_tokens(batch, blind):
    batch.put("a.jpg")
    code, said = batch.run("--model", "blind", "--perceivers", "photo-mini", "--image-tokens", 70)
    assert (code, said.splitlines()) == (
        2,
        [
            "error: model `blind:latest` does not see images, so no image becomes 70 tokens",
            "hint: leave out `--image-tokens`, or `image_tokens` in the recipe",
        ],
    )
    assert not (batch.output / "run.json").exists()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--image-tokens", "0", "`--image-tokens` cannot be `0`"),
        ("--image-tokens", "-1", "`--image-tokens` cannot be `-1`"),
        ("--image-tokens", "many", "`--image-tokens` cannot be `many`"),
        ("--device", "gpu", "`--device` cannot be `gpu`"),
    ],
)
def test_a_value_that_is_none_is_one_line(run, batch, option, value, message):
    code, out, said = run("run", "echo", "hi", option, value)
    assert (code, out, said.splitlines()[0]) == (2, "", f"error: {message}")
    code, said = batch.run(option, value)
    assert (code, said.splitlines()[0]) == (2, f"error: {message}")
    assert not batch.output.exists()
