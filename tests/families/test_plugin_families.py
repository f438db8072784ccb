"""A stranger's plugin brings a family of vision models, and its models are converted and run like those that ship."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pytest

from olpipe.errors import DiskFull, ModelCorrupt, ModelUnsupported, PluginError
from olpipe.families.vision_part import find_vision
from olpipe.generation import GenerateRequest, SamplingParams
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import VisionConfig
from olpipe.messages import ImagePart, Message, TextPart
from olpipe.model import LoadOptions, ModelBundle, ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.build import backend_for, build
from olpipe.store.vision import vision_facts
from olpipe.testing.contracts.asking import Cancelled, cancelling_after
from olpipe.testing.fixtures import announce_project, plugin_folder
from olpipe.testing.gguf import write_gguf
from olpipe.testing.images import decoded, photo
from olpipe.testing.models import write_tiny_gguf
from olpipe.testing.vision_models import write_vision_gguf

__all__ = ["announce_project", "plugin_folder"]

TEMPLATE = Path(__file__).parents[2] / "plugins/olpipe-template"
WIDTH = 64  # of the tiny text model
PROJECTOR = {
    "general.architecture": "clip",
    "clip.projector_type": "means",
    "clip.vision.image_size": 8,
    "clip.vision.image_mean": [0.5, 0.5, 0.5],
    "clip.vision.image_std": [0.25, 0.25, 0.25],
}


class Stranger:
    """A plugin that brings families."""

    def __init__(self, *families):
        self._families = families

    @hookimpl
    def register_families(self):
        return self._families


@pytest.fixture
def means(announce_project):
    """Return the class of the family that the template brings. The template is a plugin while a test runs."""
    announce_project(TEMPLATE)
    from olpipe_template.means_family import MeansFamily

    return MeansFamily


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    write_tiny_gguf(folder / "model.gguf", special=["<image>"])
    random = np.random.default_rng(0)
    layer = {"weight": random.normal(0, 1, (WIDTH, 3)), "bias": random.normal(0, 1, WIDTH)}
    tensors = {f"v.means.{name}": values.astype(np.float32) for name, values in layer.items()}
    write_gguf(folder / "projector.gguf", PROJECTOR, tensors)
    return folder


@pytest.fixture
def bundle(folder, tmp_path):
    return ModelBundle(ModelName.parse("colours"), "sha256:0", folder, tmp_path / "cache")


@pytest.fixture
def plugins(tmp_path):
    """Return what loads the plugins that ship, and families of a stranger."""

    def plugins(*families):
        loaded = Plugins.load(Settings(home=tmp_path, plugins_allow=()))
        if families:
            loaded.add(Stranger(*families), "stranger")
        return loaded

    return plugins


def request():
    message = Message("user", (ImagePart(decoded()), TextPart("What is it?")))
    return GenerateRequest("colours", (message,), sampling=SamplingParams(max_tokens=1))


def built(loaded, bundle):
    """Build a model and return its backend."""
    backend = backend_for(bundle, loaded.backends)
    build(bundle, backend, lambda _: None)
    return backend


def description(bundle):
    (path,) = bundle.cache.glob("onnx-*/vision_config.json")
    return json.loads(path.read_text())


# --- how it is found --------------------------------------------------------------------------------


def test_a_plugins_family_is_asked_before_those_that_ship(means, plugins, tmp_path):
    class Mlp(means):
        name = "Other"
        projectors = ("mlp", "means")

        def read(self, metadata, tensors):
            raise ModelUnsupported("it was asked")

    files = write_vision_gguf("llava", tmp_path / "llava")
    with pytest.raises(ModelUnsupported, match="it was asked"):
        find_vision(*files, plugins(Mlp()).families)
    assert find_vision(*files, plugins().families).family.name == "LLaVA 1.5"


def test_backends_know_families_that_come_later(means, plugins):
    loaded = plugins()
    assert "Means" not in loaded.backends.get("onnx").families
    loaded.add(Stranger(means()), "stranger")
    assert all("Means" in backend.families for backend in loaded.backends)


def test_a_model_of_no_family_is_refused_with_what_can_be_converted(plugins, bundle):
    refusal = plugins().backends.get("onnx").refuses(bundle)
    assert refusal.endswith("has a vision encoder of the type `means`, which cannot be converted")


def test_a_model_is_of_the_family_that_reads_it(means, plugins, bundle):
    family = means()
    backend = plugins(family).backends.get("onnx")
    assert backend.family_of(bundle) is family
    backend.build(bundle, lambda _: None)
    assert backend.family_of(bundle) is family


def test_a_model_that_reads_texts_only_is_of_no_family(means, plugins, bundle):
    (bundle.path / "projector.gguf").unlink()
    backend = plugins(means()).backends.get("onnx")
    assert backend.family_of(bundle) is None
    backend.build(bundle, lambda _: None)
    assert backend.family_of(bundle) is None


def test_what_is_said_of_a_model_comes_from_its_family(means, plugins, bundle):
    for loaded, tokens in ((plugins(), 0), (plugins(means()), 64)):
        facts = vision_facts(bundle, loaded.families)
        assert (facts.projector, facts.image_tokens) == ("means", tokens)


# --- what was converted -----------------------------------------------------------------------------


def test_a_package_whose_plugin_is_gone_says_which_one_is_missing(means, plugins, bundle):
    built(plugins(means()), bundle)
    backend = plugins().backends.get("onnx")
    reason = "the model needs the plugin that brings the family `Means`"
    assert backend.refuses(bundle) == reason
    for use in (backend.family_of, lambda one: backend.load(one, LoadOptions(threads=1))):
        with pytest.raises(ModelUnsupported) as caught:
            use(bundle)
        assert caught.value.message == reason
        assert caught.value.hint.startswith("install that plugin; not loaded: ")
        assert caught.value.hint.endswith("`template` (disabled)")


def test_a_package_that_an_earlier_version_of_its_family_has_written_is_made_again(means, plugins, bundle):
    class Newer(means):
        version = "2"

        def fit(self, config, width, height, tokens):
            return super().fit(config, width, height, min(tokens, 4))

    built(plugins(means()), bundle)
    assert description(bundle)["family_version"] == "1"
    backend = built(plugins(Newer()), bundle)
    assert description(bundle)["family_version"] == "2"
    assert [path.name for path in bundle.cache.iterdir() if path.suffix == ".unfinished"] == []
    runner = backend.load(bundle, LoadOptions(threads=1))
    assert [image.length for image in runner.prepare(request()).prompt.images] == [4]


def test_a_package_of_the_present_version_is_left_as_it_is(means, plugins, bundle):
    loaded = plugins(means())
    built(loaded, bundle)
    before = {path: path.stat().st_mtime_ns for path in bundle.cache.rglob("*")}
    built(loaded, bundle)
    assert {path: path.stat().st_mtime_ns for path in bundle.cache.rglob("*")} == before


@pytest.mark.examples(1)
@pytest.mark.parametrize("damaged", ["", "{", "[]", "{}", '{"family": 3}'])
def test_a_package_whose_description_is_damaged_is_made_again(means, plugins, bundle, damaged):
    loaded = plugins(means())
    backend = built(loaded, bundle)
    (path,) = bundle.cache.glob("onnx-*/vision_config.json")
    path.write_text(damaged)
    with pytest.raises(ModelCorrupt, match=r"the vision encoder in .* cannot be loaded"):
        backend.load(bundle, LoadOptions(threads=1))
    assert backend.family_of(bundle).name == "Means"
    built(loaded, bundle)
    assert description(bundle)["family"] == "Means"


def test_sizes_of_a_familys_own_are_kept_in_the_package(means, plugins, bundle):
    @dataclass(frozen=True)
    class Sizes(VisionConfig):
        shades: tuple[int, ...] = ()

    class Shaded(means):
        config_class = Sizes

        def read(self, metadata, tensors):
            return Sizes(**asdict(super().read(metadata, tensors)), shades=(3, 4))

        def fit(self, config, width, height, tokens):
            return super().fit(config, width, height, sum(config.shades) + 2)

    runner = built(plugins(Shaded()), bundle).load(bundle, LoadOptions(threads=1))
    assert [image.length for image in runner.prepare(request()).prompt.images] == [9]


def test_sizes_that_are_not_those_of_the_family_are_a_damaged_package(means, plugins, bundle):
    backend = built(plugins(means()), bundle)
    (path,) = bundle.cache.glob("onnx-*/vision_config.json")
    path.write_text(json.dumps({**description(bundle), "shades": 3}))
    with pytest.raises(ModelCorrupt, match=r"does not fit the family `Means`: .*'shades'"):
        backend.load(bundle, LoadOptions(threads=1))


def test_a_disk_that_is_full_is_not_blamed_on_a_stranger(means, plugins, bundle):
    class Large(means):
        def write(self, *arguments, **options):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskFull):
        built(plugins(Large()), bundle)


def test_a_conversion_can_be_cancelled_while_a_stranger_writes(means, plugins, bundle):
    backend, calls = plugins(means()).backends.get("onnx"), []
    backend.build(bundle, calls.append)
    other = ModelBundle(bundle.name, bundle.digest, bundle.path, bundle.cache.with_name("other"))
    with pytest.raises(Cancelled):
        backend.build(other, cancelling_after(len(calls) - 1))
    assert list(other.cache.iterdir()) == []


# --- who is to blame ---------------------------------------------------------------------------------


def faulty(means, fault):
    """Return a family with a fault in one of its methods."""

    def fail(*arguments, **options):
        raise ZeroDivisionError("no luck")

    return type("Faulty", (means,), {fault: fail})()


@pytest.mark.parametrize("fault", ["read", "write", "fit", "layout", "positions", "inputs"])
def test_what_a_familys_own_code_raises_is_blamed_on_its_plugin(means, plugins, bundle, fault):
    backend = plugins(faulty(means, fault)).backends.get("onnx")
    with pytest.raises(PluginError) as caught:
        backend.build(bundle, lambda _: None)
        backend.load(bundle, LoadOptions(threads=1)).prepare(request())
    assert caught.value.message == "the family `Means` of the plugin `stranger` failed: ZeroDivisionError: no luck"


def test_a_family_that_cannot_read_a_file_keeps_no_other_backend_from_it(means, plugins, bundle):
    with pytest.raises(ModelUnsupported, match="`onnx`: the family `Means` of the plugin `stranger` failed: Zero"):
        backend_for(bundle, plugins(faulty(means, "read")).backends)


def test_features_of_a_wrong_shape_are_blamed_on_the_plugin(means, plugins, bundle):
    class Short(means):
        def inputs(self, config, pixels, fitted):
            return {"colours": super().inputs(config, pixels, fitted)["colours"][1:]}

    runner = built(plugins(Short()), bundle).load(bundle, LoadOptions(threads=1))
    with pytest.raises(PluginError) as caught:
        runner.prepare(request())
    told = "the family `Means` of the plugin `stranger` failed: its features have the shape (63, 64), not (64, 64)"
    assert caught.value.message == told


# --- the whole way -----------------------------------------------------------------------------------


def olpipe(*arguments):
    command = [sys.executable, "-m", "olpipe", *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("means", "isolated_home")
def test_a_model_of_a_plugins_family_is_pulled_and_asked_about_a_photo(folder, tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(photo(file_format="PNG"))
    olpipe("pull", f"file:{folder}", "--name", "colours")
    shown = json.loads(olpipe("show", "colours", "--json"))
    assert (shown["projector"]["projector"], shown["projector"]["image_tokens"]) == ("means", 64)
    assert "family Means" in olpipe("plugins")
    assert olpipe("run", "colours", f"What is it? {path}").strip()
