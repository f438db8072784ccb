"""Push and pull with a real registry: the program `docker-registry` of the CNCF's project Distribution."""

import base64
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from olpipe.default_plugins.sources.registry import upload
from olpipe.default_plugins.sources.registry.options import Options
from olpipe.default_plugins.sources.registry.source import RegistrySource
from olpipe.errors import NotAtSource, PullFailed, PushFailed
from olpipe.model import ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.library import Library
from olpipe.store.pull import pull
from olpipe.store.push import find_target, push
from olpipe.store.resolve import find_source
from olpipe.testing.contracts import ModelSourceContract
from olpipe.testing.models import write_tiny_gguf
from tests.server.started import free_port

PROGRAM = shutil.which("docker-registry")
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="docker-registry is not installed: apt-get install docker-registry"
)

STARTS_WITHIN_S = 30
LOGIN = "me:s3cret"
HASHED = "me:$2b$05$wt8BzX9vbFlDR8h8JEdQ3OjSd8KjjQFwXKYbj3I72.Hp27cQAEyO2"  # the same, as htpasswd keeps it


def start(folder, *, login=False):
    """Start a registry, and return its process and its address."""
    folder.mkdir()
    address = f"127.0.0.1:{free_port()}"
    config = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": address},
    }
    if login:
        (folder / "users").write_text(HASHED + "\n")
        config["auth"] = {"htpasswd": {"realm": "models", "path": str(folder / "users")}}
    (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML, too
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, "serve", str(folder / "config.yml")], stdout=log, stderr=log)
    until = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://{address}/v2/", timeout=5).close()
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:
            time.sleep(0.05)
            continue
        return process, address
    process.kill()
    process.wait()
    raise AssertionError(f"the registry did not start:\n{(folder / 'log').read_text()}")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    process, address = start(tmp_path_factory.mktemp("registry") / "open")
    yield address
    process.terminate()
    process.wait(20)


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    """Return the address of a registry that asks for a user name and a password."""
    process, address = start(tmp_path_factory.mktemp("registry") / "closed", login=True)
    yield address
    process.terminate()
    process.wait(20)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(upload, "CHUNK_BYTES", 1 << 18)


@pytest.fixture
def plugins(monkeypatch):
    monkeypatch.setenv("OLPIPE_REGISTRY", "http://127.0.0.1:1")  # names here have hosts of their own
    return Plugins.load(Settings(plugins_allow=()))


def library_in(folder):
    return Library(folder / "models", cache=folder / "cache")


def bring(text, library, plugins):
    origin, name = find_source(text, plugins, insecure=True)
    return pull(origin, name, library, plugins, progress=lambda step: None)


def send(name, library, plugins):
    push(find_target(name, plugins, insecure=True), name, library, plugins, progress=lambda step: None)


@pytest.fixture
def here(tmp_path, plugins):
    """Return a store with a tiny model, which is called `tiny`."""
    library = library_in(tmp_path / "here")
    origin, _ = find_source(f"file:{write_tiny_gguf(tmp_path / 'tiny.gguf')}", plugins)
    pull(origin, ModelName.parse("tiny"), library, plugins, progress=lambda step: None)
    return library


class TestRegistrySource(ModelSourceContract):
    """The contract, with a real registry."""

    @pytest.fixture
    def source(self, address):
        options = Options(registry=f"http://{address}")
        return RegistrySource(lambda: options)

    @pytest.fixture
    def reference(self, address, here, plugins):
        name = ModelName.parse(f"{address}/library/tiny")
        here.copy(ModelName.parse("tiny"), name)
        send(name, here, plugins)
        return "tiny"

    @pytest.fixture
    def push_reference(self, request):
        return f"me/{request.node.name[:60].strip('_')}:v1"


def test_a_model_goes_to_a_registry_and_comes_back_the_same(address, here, plugins, tmp_path):
    name = ModelName.parse(f"{address}/me/tiny:v1")
    here.copy(ModelName.parse("tiny"), name)
    send(name, here, plugins)
    there = library_in(tmp_path / "there")
    bundle = bring(str(name), there, plugins)
    assert (bundle.digest, there.describe(name).data) == (here.digest(name), here.describe(name).data)
    assert (bundle.path / "model.gguf").read_bytes() == (here.get(name).path / "model.gguf").read_bytes()
    with pytest.raises(NotAtSource, match=f"the registry `{address}` has no model `{address}/me/tiny:v2`"):
        bring(f"{address}/me/tiny:v2", there, plugins)


def test_a_registry_that_asks_for_a_password_gets_it_from_dockers_file(closed, here, plugins, tmp_path, monkeypatch):
    name = ModelName.parse(f"{closed}/me/tiny:v1")
    here.copy(ModelName.parse("tiny"), name)
    with pytest.raises(PushFailed, match="gives no access without a user name"):
        send(name, here, plugins)
    auth = base64.b64encode(LOGIN.encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {closed: {"auth": auth}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    send(name, here, plugins)
    there = library_in(tmp_path / "there")
    assert bring(str(name), there, plugins).digest == here.digest(name)
    wrong = base64.b64encode(b"me:wrong").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {closed: {"auth": wrong}}}))
    with pytest.raises(PullFailed, match="does not give access to the user"):
        bring(str(name), there, plugins)
