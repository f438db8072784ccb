"""Nothing large is begun for which there is no space."""

import shutil

import pytest

from olpipe.convert.gguf import read_header
from olpipe.errors import DiskFull
from olpipe.model import ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.library import Library
from olpipe.store.ollama_folder import OllamaFolder
from olpipe.store.pull import pull
from olpipe.store.resolve import find_source
from olpipe.store.space import check_space, conversion_bytes, free_bytes
from olpipe.testing.models import write_tiny_gguf
from tests.store.ollama_like import OllamaLike
from tests.store.registry_server import RegistryServer

TINY = ModelName.parse("tiny")
LARGE = bytes(range(256)) * (5 << 12)


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


@pytest.fixture
def plugins():
    return Plugins.load(Settings(plugins_allow=()))


@pytest.fixture
def leave(monkeypatch):
    """Let the disk have only so much space left."""
    whole = shutil.disk_usage("/")

    def leave(free):
        monkeypatch.setattr(shutil, "disk_usage", lambda path: type(whole)(whole.total, whole.total - free, free))

    return leave


def bring(text, library, plugins, *, progress=lambda _: None):
    origin, _ = find_source(text, plugins)
    return pull(origin, TINY, library, plugins, progress=progress)


def test_the_line_says_what_is_needed_and_where_and_what_to_do(tmp_path, leave):
    leave(1_200_000_000)
    check_space("`x`", 1_200_000_000, tmp_path)
    with pytest.raises(DiskFull) as caught:
        check_space("`x`", 2_000_000_000, tmp_path / "not" / "there")
    assert caught.value.message == f"`x` needs 2 GB, and `{tmp_path}/not/there` has 1.2 GB left"
    assert caught.value.hint == (
        "free 800 MB: `olpipe store du` shows what takes space, and `olpipe store prune` removes what nobody needs; "
        "or set OLPIPE_HOME or OLLAMA_MODELS to a folder on a larger disk"
    )
    assert caught.value.exit_code == 4


def test_the_space_of_a_folder_that_is_not_there_is_that_of_the_disk(tmp_path):
    assert abs(free_bytes(tmp_path / "a" / "b") - free_bytes(tmp_path)) < 1 << 30


def test_a_conversion_for_which_there_is_no_space_is_not_begun(library, plugins, tmp_path, leave):
    weights = write_tiny_gguf(tmp_path / "tiny.gguf")
    leave(10_000)
    told = []
    with pytest.raises(DiskFull, match=r"^the conversion of `tiny:latest` needs \d+ KB, and `.*` has 10 KB left$"):
        bring(f"file:{weights}", library, plugins, progress=told.append)
    assert [step.status for step in told if step.status == "converting"] == []
    assert library.names() == []
    leave(10_000_000)
    bring(f"file:{weights}", library, plugins)


@pytest.mark.parametrize("precision", ["int4", "int8", "float32"])
def test_the_size_of_a_conversion_is_guessed_well(tmp_path, precision):
    from olpipe.convert.package import convert_gguf

    weights = write_tiny_gguf(tmp_path / "tiny.gguf", context_length=64)  # its table of positions is small
    guessed = conversion_bytes(read_header(weights).tensors.values(), precision)
    package = tmp_path / "package"
    package.mkdir()
    convert_gguf(weights, package, precision=precision, progress=lambda _: None)
    data = (package / "model.onnx.data").stat().st_size
    assert 0.8 * data < guessed < 1.2 * data


def test_what_has_come_of_a_download_is_not_needed_a_second_time(library, plugins, tmp_path, leave, monkeypatch):
    class Stopped(Exception):
        pass

    def stop(step):
        if step.total == len(LARGE) and step.completed >= 4 << 20:
            raise Stopped

    weights = write_tiny_gguf(tmp_path / "tiny.gguf").read_bytes()
    with RegistryServer() as server:
        monkeypatch.setenv("OLPIPE_REGISTRY", server.url)
        server.put("library/tiny", [server.layer(weights), server.layer(LARGE, name="zeros.bin")])
        with pytest.raises(Stopped):
            bring("tiny", library, plugins, progress=stop)
        leave(1 << 10)
        with pytest.raises(DiskFull, match="`tiny:latest` needs"):
            bring("tiny", library, plugins)
        leave(len(LARGE) - (3 << 20))
        assert bring("tiny", library, plugins).name == TINY


def test_a_copy_of_ollamas_models_is_not_begun_without_space(library, plugins, tmp_path, leave):
    ollama = OllamaLike(tmp_path / "ollama")
    ollama.put("registry.ollama.ai/library/tiny/latest", {"model": write_tiny_gguf(tmp_path / "x.gguf").read_bytes()})
    folder = OllamaFolder(ollama.folder)
    (model,) = folder.models(library, plugins.backends)
    leave(10)
    with pytest.raises(DiskFull, match="a copy of `tiny:latest` needs"):
        folder.take(model, library, lambda _: None, copies=True)
    folder.take(model, library, lambda _: None, copies=False)  # a second name takes no space
