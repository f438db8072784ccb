"""Models are built in processes of their own. How far they are is told, and builds can be cancelled at every moment."""

import os
import signal
from dataclasses import replace

import pytest

from olpipe.default_plugins.onnx.backend import OnnxBackend, is_built, package_folder
from olpipe.engine.building import BuildsApart, build_apart
from olpipe.engine.manager import Engine
from olpipe.errors import BackendCrashed, LoadStalled, ModelCorrupt, PluginError
from olpipe.generation import FinishReason, GenerateRequest
from olpipe.interfaces import Progress
from olpipe.messages import Message
from olpipe.model import LoadOptions, ModelBundle, ModelConfig, ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.testing.echo import echo_bundle
from olpipe.testing.install import install_plugin
from olpipe.testing.models import write_tiny_gguf
from tests.engine.processes import children

STUBBORN = """
import json, os, time
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import Progress
from olpipe.testing.echo import EchoBackend

class Stubborn(EchoBackend):
    name = "stubborn"

    def build(self, bundle, progress):
        progress(Progress("first"))
        how = json.loads((bundle.path / "how.json").read_text())
        if how == "hangs":
            time.sleep(600)
        if how == "dies":
            os._exit(7)
        if how == "prints":
            os.write(1, b"native code writes where it likes")
        if how == "fails":
            raise RuntimeError("no way")
        progress(Progress("last"))

@hookimpl
def register_backends():
    return [Stubborn()]
"""


@pytest.fixture
def apart(plugins, tmp_path):
    build_apart(plugins, Settings(home=tmp_path))
    return plugins


@pytest.fixture
def gguf(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    write_tiny_gguf(folder / "tiny.gguf")
    return ModelBundle(ModelName.parse("tiny"), "sha256:0", folder, tmp_path / "cache-of-tiny", ModelConfig("gguf"))


@pytest.fixture
def stubborn(plugin_folder, tmp_path):
    """Return what builds a model in a way that its backend is told."""
    module = plugin_folder / "stubborn_backend.py"
    module.write_text(STUBBORN)
    install_plugin(plugin_folder, "stubborn", "stubborn_backend")

    def build(how, progress=lambda step: None, **settings):
        own = Settings(home=tmp_path, **settings)
        bundle = echo_bundle(tmp_path, "stubborn")
        (bundle.path / "how.json").write_text(f'"{how}"')
        plugins = Plugins.load(own)
        BuildsApart(plugins.backends.get("stubborn"), own).build(bundle, progress)

    return build


def test_every_step_is_told_and_the_package_is_complete(gguf, tmp_path):
    steps, pids = [], set()

    def note(step):
        steps.append(step)
        pids.update(child.pid for child in children())

    backend = BuildsApart(OnnxBackend(), Settings(home=tmp_path))
    backend.build(gguf, note)
    assert is_built(package_folder(gguf))
    assert [step.completed for step in steps] == sorted(step.completed for step in steps)
    assert steps[-1].completed == steps[-1].total > 10
    assert len(pids) == 1
    assert children() == []


def test_what_is_built_takes_no_process(gguf, tmp_path, monkeypatch):
    backend = BuildsApart(OnnxBackend(), Settings(home=tmp_path))
    backend.build(gguf, lambda step: None)
    monkeypatch.setattr("olpipe.engine.building.COMMAND", ("no-such-command",))
    backend.build(gguf, lambda step: None)


def test_it_is_the_same_backend_in_all_else(gguf, tmp_path):
    backend, own = OnnxBackend(), BuildsApart(OnnxBackend(), Settings(home=tmp_path))
    assert (own.name, own.version) == (backend.name, backend.version)
    assert own.refuses(gguf) is None
    assert own.refuses(replace(gguf, path=tmp_path)) == backend.refuses(replace(gguf, path=tmp_path))
    assert own.family_of(gguf) is None
    own.build(gguf, lambda step: None)
    runner = own.load(gguf, LoadOptions(threads=1))
    assert runner.info.context_length == 2048
    runner.close()


def test_families_reach_the_backend(apart):
    for name in apart.backends.names():
        backend = apart.backends.get(name)
        assert isinstance(backend, BuildsApart)
        assert backend.families is apart.families
        backend.families = None
        assert backend.families is None


@pytest.mark.parametrize("after", [0, 1, 5])
def test_an_exception_of_the_callback_ends_the_build_and_leaves_nothing(gguf, tmp_path, after):
    class Enough(Exception):
        pass

    left = iter(range(after))

    def stop(step):
        if next(left, None) is None:
            raise Enough

    backend = BuildsApart(OnnxBackend(), Settings(home=tmp_path))
    with pytest.raises(Enough):
        backend.build(gguf, stop)
    assert children() == []
    assert list(gguf.cache.iterdir()) == []
    backend.build(gguf, lambda step: None)
    assert is_built(package_folder(gguf))


def test_a_step_that_takes_long_can_be_cancelled(stubborn):
    told = []

    class Enough(Exception):
        pass

    def stop_at_the_second(step):
        told.append(step)
        if told.count(Progress("first")) == 2:
            raise Enough

    with pytest.raises(Enough):
        stubborn("hangs", stop_at_the_second)
    assert children() == []


def test_a_build_without_progress_is_ended(stubborn):
    with pytest.raises(LoadStalled, match=r"^loading `stubborn:latest` made no progress for 0.2 s, so it was ended$"):
        stubborn("hangs", load_timeout_s=0.2)
    assert children() == []


def test_a_process_that_dies_is_told(stubborn):
    with pytest.raises(BackendCrashed, match="the process that builds `stubborn:latest` ended with exit code 7"):
        stubborn("dies")


def test_a_process_that_is_killed_is_told(stubborn):
    def kill(step):
        for child in children():
            os.kill(child.pid, signal.SIGKILL)

    with pytest.raises(BackendCrashed, match="was killed by signal 9"):
        stubborn("hangs", kill)


def test_what_a_backend_prints_breaks_nothing(stubborn):
    steps = []
    stubborn("prints", steps.append)
    assert [step for step in steps if step in (Progress("first"), Progress("last"))][-2:] == [
        Progress("first"),
        Progress("last"),
    ]


def test_an_error_of_the_backend_names_it(stubborn):
    with pytest.raises(
        PluginError, match="the backend `stubborn` of the plugin `stubborn` failed: RuntimeError: no way"
    ):
        stubborn("fails")


def test_damaged_files_are_told_as_in_one_process(gguf, tmp_path):
    path = gguf.path / "tiny.gguf"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ModelCorrupt):
        BuildsApart(OnnxBackend(), Settings(home=tmp_path)).build(gguf, lambda step: None)


def test_an_engine_over_such_backends_builds_answers_and_gives_up(library, apart, add_echo, tmp_path, until):
    add_echo(options='{"build_s": 0.05}')
    add_echo("slow", '{"build_s": 60}')
    with Engine(library, apart, Settings(home=tmp_path)) as engine:
        request = GenerateRequest("echo", (Message.of("user", "a b"),))
        assert engine.submit(request).completion().text == "a b"
        given_up = engine.submit(replace(request, model="slow"))
        until(lambda: any(model.progress is not None for model in engine.loaded() if model.is_loading))
        given_up.cancel()
        assert given_up.completion().finish_reason is FinishReason.CANCELLED
        until(lambda: [model.name.model for model in engine.loaded()] == ["echo"])
        until(lambda: len(children()) == 1)
