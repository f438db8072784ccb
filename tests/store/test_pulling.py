"""Where a model is pulled from, and pulls that are cancelled: at every step, and while they wait for others."""

import errno
import json
import subprocess
import sys
import threading
from dataclasses import replace
from types import ModuleType

import pytest

from olpipe.engine.manager import Engine
from olpipe.errors import DiskFull, ModelCorrupt, ModelNotFound, ModelUnsupported, PluginError
from olpipe.generation import FinishReason, GenerateRequest
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import Backend, ModelSource
from olpipe.messages import Message
from olpipe.model import ModelConfig, ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.build import build
from olpipe.store.library import Library
from olpipe.store.packages import add_package
from olpipe.store.pull import pull
from olpipe.store.resolve import find_source, resolve
from olpipe.store.sources import Origin
from olpipe.testing.models import write_tiny_gguf

# Holds a lock of a store, until it is killed.
HOLD = """
import sys, time
from pathlib import Path
from filelock import FileLock
from olpipe.store.library import Library
kind, models, what = sys.argv[1:]
lock = Library(Path(models), cache=Path(models)).pull_lock(what) if kind == "pull" else FileLock(what)
with lock:
    print("held", flush=True)
    time.sleep(90)
"""


class Cancelled(Exception):
    """What a callback raises when nobody wants the model any more; no error of ours."""


class Hub(ModelSource):
    """Claims a host, and writes down what it is asked for."""

    scheme = "hub"
    hosts = ("hf.example", "hub.example:8080")

    def __init__(self, weights, *, announces=()):
        self.weights = weights
        self.announces = announces
        self.asked = []
        self.error = None

    def names(self):
        return self.announces

    def default_name(self, reference):
        return ModelName.parse(reference)

    def pull(self, reference, name, store, progress):
        self.asked.append((reference, str(name)))
        if self.error is not None:
            raise self.error
        add_package(self.weights, name, store, progress)


@pytest.fixture
def hub(tmp_path):
    return Hub(write_tiny_gguf(tmp_path / "tiny.gguf"))


@pytest.fixture
def plugins(hub):
    plugins = Plugins.load(Settings(plugins_allow=()))
    made = ModuleType("hub")
    made.register_model_sources = hookimpl(lambda: [hub])
    plugins.add(made, "hub")
    return plugins


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


def silent(progress):
    pass


@pytest.mark.parametrize("text", ["hf.example/a/b:c", "hf.example/a/b", "HF.Example/a/b:c", "hub.example:8080/a/b:c"])
def test_a_source_that_claims_a_host_is_asked_for_its_models_with_the_host_as_it_claims_it(library, plugins, hub, text):
    claimed = text.replace("HF.Example", "hf.example")
    bundle = resolve(text, library, plugins, silent)
    assert hub.asked == [(claimed, str(ModelName.parse(claimed)))]
    assert bundle.name == ModelName.parse(claimed)
    for written in (text, claimed):
        assert resolve(written, library, plugins, pytest.fail) == bundle
    assert len(hub.asked) == 1
    assert find_source(text, plugins) == (Origin(hub, claimed), ModelName.parse(claimed))


def test_what_is_on_this_machine_comes_before_what_is_announced_and_that_before_what_is_claimed(
    library, plugins, hub, tmp_path
):
    text = "hf.example/a/b:c"
    announcing = Hub(hub.weights, announces=[text])
    announcing.scheme, announcing.hosts = "announcing", ()
    made = ModuleType("announcing")
    made.register_model_sources = hookimpl(lambda: [announcing])
    plugins.add(made, "announcing")
    assert find_source(text, plugins)[0].source is announcing
    resolve(text, library, plugins, silent)
    assert (len(announcing.asked), len(hub.asked)) == (1, 0)
    resolve(text, library, plugins, silent)
    assert (len(announcing.asked), len(hub.asked)) == (1, 0)


def test_a_host_that_nobody_claims_is_not_found(library, plugins):
    with pytest.raises(ModelNotFound, match=r"model `hf\.other/a/b:c` is not on this machine"):
        resolve("hf.other/a/b:c", library, plugins, silent)
    with pytest.raises(ModelNotFound, match=r"no source has a model `hf\.other/a/b:c`"):
        find_source("hf.other/a/b:c", plugins)


def test_a_source_that_fails_is_told_with_its_name_and_its_plugin(library, plugins, hub):
    hub.error = KeyError("token")
    with pytest.raises(PluginError) as caught:
        resolve("hf.example/a/b", library, plugins, silent)
    assert caught.value.message == "the model source `hub` of the plugin `hub` failed: KeyError: 'token'"


def test_a_source_that_announces_nonsense_is_one_warning_and_the_others_are_asked(library, plugins, hub, caplog):
    broken = Hub(hub.weights, announces=5)
    broken.scheme, broken.hosts = "broken", ()
    made = ModuleType("broken")
    made.register_model_sources = hookimpl(lambda: [broken])
    plugins.add(made, "broken")
    assert resolve("hf.example/a/b", library, plugins, silent).name == ModelName.parse("hf.example/a/b")
    with pytest.raises(ModelNotFound):
        find_source("unknown", plugins)
    said = "the model source `broken` of the plugin `broken` failed: `names` gave 5 where a tuple of texts is expected"
    assert [record.getMessage() for record in caplog.records] == [
        f"{said}; the names that it announces are left out"
    ] * 2


# --- cancelling -----------------------------------------------------------------------------------


def steps_of(library, plugins, hub):
    """Return every step that a pull reports, in order."""
    steps = []
    pull(Origin(hub, "x"), ModelName.parse("counted"), library, plugins, progress=steps.append)
    library.remove(ModelName.parse("counted"))
    return steps


def test_a_pull_can_be_cancelled_at_every_step_and_leaves_no_half_model(plugins, hub, tmp_path):
    count = len(steps_of(Library(tmp_path / "first", cache=tmp_path / "first-cache"), plugins, hub))
    assert count > 10
    library = Library(tmp_path / "models", cache=tmp_path / "cache")
    name = ModelName.parse("tiny")
    for last in range(count):
        left = [last]

        def cancel(progress, left=left):
            left[0] -= 1
            if left[0] < 0:
                raise Cancelled(progress.status)

        with pytest.raises(Cancelled):
            pull(Origin(hub, "x"), name, library, plugins, progress=cancel)
        assert library.names() == []
        assert [path for path in (tmp_path / "models" / "incoming").iterdir() if path.suffix != ".lock"] == []
        assert list((tmp_path / "cache").glob("builds/*/*")) == []
    bundle = pull(Origin(hub, "x"), name, library, plugins, progress=silent)
    assert library.names() == [name]
    assert list(bundle.cache.iterdir())


@pytest.fixture
def hold():
    """Return a function that has another process hold a lock; it is killed at the end."""
    processes = []

    def hold(kind, models, what):
        command = [sys.executable, "-c", HOLD, kind, str(models), str(what)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        processes.append(process)
        assert process.stdout.readline() == b"held\n"
        return process

    yield hold
    for process in processes:
        process.kill()
        process.communicate()


def patient(times, statuses):
    """Return a callback that gives up after a report has come so many times in a row."""

    def report(progress):
        statuses.append(progress.status)
        if statuses[-times:] == [progress.status] * times:
            raise Cancelled

    return report


def test_a_pull_that_waits_for_another_process_can_be_cancelled(library, plugins, hub, hold, tmp_path):
    hold("pull", tmp_path / "models", "hub:x")
    statuses = []
    with pytest.raises(Cancelled):
        pull(Origin(hub, "x"), ModelName.parse("tiny"), library, plugins, progress=patient(3, statuses))
    assert statuses == ["waiting for another pull of x"] * 3
    assert hub.asked == []


def test_a_pull_that_waited_goes_on_when_the_other_process_dies(library, plugins, hub, hold, tmp_path):
    other = hold("pull", tmp_path / "models", "hub:x")
    statuses = []

    def report(progress):
        statuses.append(progress.status)
        if statuses == ["waiting for another pull of x"] * 2:
            other.kill()

    pull(Origin(hub, "x"), ModelName.parse("tiny"), library, plugins, progress=report)
    assert statuses[:2] == ["waiting for another pull of x"] * 2
    assert library.names() == [ModelName.parse("tiny")]


def test_a_request_that_nobody_wants_any_more_does_not_go_on_waiting(library, plugins, hold, tmp_path):
    hold("pull", tmp_path / "models", "hub:hf.example/a/b")
    waits = threading.Event()
    with Engine(library, plugins, Settings(home=tmp_path), progress=lambda step: waits.set()) as engine:
        stream = engine.submit(GenerateRequest("hf.example/a/b", (Message.of("user", "hi"),)))
        waits.wait()
        stream.cancel()
        assert stream.completion().finish_reason is FinishReason.CANCELLED
        for thread in threading.enumerate():  # the one that waited comes to its end, though the other process lives
            if thread.name.startswith("find "):
                thread.join()
    assert library.names() == []


def test_a_build_that_waits_for_another_process_can_be_cancelled(library, plugins, hub, hold, tmp_path):
    add_package(hub.weights, ModelName.parse("tiny"), library, silent)
    bundle = library.get(ModelName.parse("tiny"))
    bundle.cache.parent.mkdir(parents=True)
    hold("build", tmp_path / "models", bundle.cache.with_name(f"{bundle.cache.name}.lock"))
    statuses = []
    with pytest.raises(Cancelled):
        build(bundle, plugins.backends.get("onnx"), patient(2, statuses))
    assert statuses == ["waiting for another build of tiny:latest"] * 2
    assert not bundle.cache.exists()


# --- models that cannot be run --------------------------------------------------------------------


class Refusing(Backend):
    """Runs nothing, and says why."""

    version = "1"

    def __init__(self, name, reason):
        self.name = name
        self.reason = reason

    def refuses(self, bundle):
        return self.reason

    def load(self, bundle, options):
        raise AssertionError("it is never asked to")


def test_a_model_that_nobody_runs_is_refused_before_it_is_committed_with_every_reason(plugins, hub, tmp_path):
    library = Library(tmp_path / "models", cache=tmp_path / "cache")
    alien = tmp_path / "alien.gguf"
    data = hub.weights.read_bytes()
    alien.write_bytes(data.replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0alien"))
    hub.weights = alien
    made = ModuleType("shy")
    made.register_backends = hookimpl(lambda: [Refusing("shy", "it is too large")])
    plugins.add(made, "shy")
    with pytest.raises(ModelUnsupported) as caught:
        pull(Origin(hub, "x"), ModelName.parse("alien"), library, plugins, progress=silent)
    said = caught.value.message
    assert said.startswith("no backend can run `alien:latest` (")
    assert "`shy`: it is too large" in said
    assert "`onnx`: " in said and "alien" in said.partition("`onnx`: ")[2]
    assert "`ort-genai`: it has no genai_config.json" in said
    assert library.names() == []
    assert list((tmp_path / "cache" / "views").iterdir()) == []


class Careless(ModelSource):
    """Commits what it likes."""

    scheme = "careless"

    def __init__(self, commit):
        self.commit = commit

    def default_name(self, reference):
        return ModelName.parse("x")

    def pull(self, reference, name, store, progress):
        self.commit(name, store)


def no_manifest(name, store):
    store.commit_manifest(name, b"<html>not found</html>")


def nothing(name, store):
    store.add_bytes(b"weights")


def another_name(name, store):
    store.commit(ModelName.parse("y"), ModelConfig(), [])


def no_layers(name, store):
    store.commit(name, ModelConfig(), ["weights"])


@pytest.mark.parametrize(
    ("commit", "reason"),
    [
        (nothing, "`pull` ended without a manifest, so there is no model"),
        (another_name, "`pull` stored `y:latest`, but was asked for `x:latest`"),
        (no_layers, "AttributeError: 'str' object has no attribute 'digest'"),
    ],
)
@pytest.mark.parametrize("there", [False, True])
def test_a_source_that_does_not_bring_what_was_asked_for_is_told_with_its_plugin(
    library, plugins, hub, commit, reason, there
):
    name = ModelName.parse("x")
    if there:
        pull(Origin(hub, "x"), name, library, plugins, progress=silent)
    source = Careless(commit)
    plugins.model_sources.register(source, "stranger")
    with pytest.raises(PluginError) as caught:
        pull(Origin(source, "x"), name, library, plugins, progress=silent)
    assert caught.value.message == f"the model source `careless` of the plugin `stranger` failed: {reason}"
    assert library.names() == ([name] if there else [])


def unreadable(name, store):
    raise FileNotFoundError(2, "No such file or directory", "weights")


def full(name, store):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_an_error_of_the_system_is_told_with_the_source_too(library, plugins):
    source = Careless(unreadable)
    plugins.model_sources.register(source, "stranger")
    with pytest.raises(PluginError) as caught:
        pull(Origin(source, "x"), ModelName.parse("x"), library, plugins, progress=silent)
    said = "FileNotFoundError: No such file or directory: 'weights'"
    assert caught.value.message == f"the model source `careless` of the plugin `stranger` failed: {said}"


def test_a_source_that_finds_no_space_left_is_not_blamed_for_it(library, plugins, tmp_path):
    source = Careless(full)
    plugins.model_sources.register(source, "stranger")
    with pytest.raises(DiskFull) as caught:
        pull(Origin(source, "x"), ModelName.parse("x"), library, plugins, progress=silent)
    assert caught.value.message == f"no space left to write `{tmp_path / 'models'}` (No space left on device)"


def missing_blob(name, store):
    layer = store.add_bytes(b"weights")
    store.commit(name, ModelConfig(model_format="gguf"), [replace(layer, digest=f"sha256:{'0' * 64}")])


def reaching_out(name, store):
    layer = store.add_bytes(json.dumps({"model": {"decoder": {"filename": "../../x.onnx"}}}).encode())
    store.commit(name, ModelConfig(model_format="onnx"), [replace(layer, name="genai_config.json")])


@pytest.mark.parametrize("commit", [no_manifest, missing_blob, reaching_out])
def test_what_cannot_be_laid_out_is_refused_and_not_called_a_model_that_is_here(library, plugins, commit):
    source = Careless(commit)
    plugins.model_sources.register(source, "stranger")
    with pytest.raises(ModelCorrupt, match="`x:latest` cannot be used: ") as caught:
        pull(Origin(source, "x"), ModelName.parse("x"), library, plugins, progress=silent)
    assert "olpipe rm" not in caught.value.hint
    assert library.names() == []
