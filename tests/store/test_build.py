"""Building a model: who is told, who is blamed, and what comes out when somebody cancels it."""

import errno
import os
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from olpipe.errors import DiskFull, ModelCorrupt, ModelNotFound, PluginError, StoreError
from olpipe.interfaces import Backend, Progress
from olpipe.model import ModelBundle, ModelConfig, ModelName
from olpipe.registry import Registry
from olpipe.store.build import backend_for, build
from olpipe.store.library import Library


class Cancelled(Exception):
    """What a callback raises when nobody wants the model any more."""


class Builder(Backend):
    """Builds one file in two steps, unless it fails between them."""

    name, version = "builder", "1"

    def __init__(self, error=None):
        self.error = error

    def refuses(self, bundle):
        return None

    def build(self, bundle, progress):
        if bundle.cache.exists():
            return
        progress(Progress("first"))
        if self.error is not None:
            raise self.error
        progress(Progress("second"))
        bundle.cache.mkdir()

    def load(self, bundle, options):
        raise AssertionError("it is never asked to")


@pytest.fixture
def bundle(tmp_path):
    return ModelBundle(ModelName.parse("tiny"), "sha256:0", Path("nowhere"), tmp_path / "cache" / "tiny")


def test_a_build_is_announced_once_before_its_first_step_and_only_where_something_is_built(bundle):
    seen = []
    for _ in range(2):
        build(bundle, Builder(), lambda step: seen.append(step.status), building=lambda: seen.append("building"))
    assert seen == ["building", "first", "second"]


@pytest.mark.parametrize("status", ["first", "second"])
def test_what_a_callback_raises_comes_out_and_the_backend_is_not_blamed(bundle, status):
    def cancel(step):
        if step.status == status:
            raise Cancelled

    with pytest.raises(Cancelled):
        build(bundle, Builder(), cancel)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyError("weights"), "KeyError: 'weights'"),
        (FileNotFoundError(2, "No such file", "x"), "FileNotFoundError: No such file: 'x'"),
    ],
)
def test_a_backend_that_fails_is_told_with_its_name(bundle, error, reason):
    with pytest.raises(PluginError) as caught:
        build(bundle, Builder(error), lambda step: None)
    assert caught.value.message == f"the backend `builder` failed: {reason}"
    assert caught.value.__cause__ is error


def test_a_full_disk_is_not_the_fault_of_the_backend(bundle):
    with pytest.raises(DiskFull) as caught:
        build(bundle, Builder(OSError(errno.ENOSPC, "No space left on device")), lambda step: None)
    assert caught.value.message == f"no space left to write `{bundle.cache}` (No space left on device)"


@pytest.fixture(params=[errno.EACCES, errno.EROFS, errno.EPERM])
def read_only(request, monkeypatch):
    """Refuse every new file and folder, as a file system does that is mounted for reading. Root is refused, too."""

    def make():
        def refuse(path, *others, **options):
            raise OSError(request.param, "it is read-only", str(path))

        opening = os.open
        monkeypatch.setattr(
            os,
            "open",
            lambda path, flags, *others, **options: (
                refuse(path) if flags & (os.O_WRONLY | os.O_RDWR) else opening(path, flags, *others, **options)
            ),
        )
        monkeypatch.setattr(os, "mkdir", refuse)

    return make


def test_a_model_that_is_built_needs_no_lock_where_the_store_is_read_only(bundle, read_only):
    build(bundle, Builder(), lambda step: None)
    read_only()
    seen = []
    build(bundle, Builder(), lambda step: seen.append(step.status), building=pytest.fail)
    assert seen == []


def test_a_model_that_is_not_built_says_that_the_store_cannot_be_written(bundle, read_only):
    bundle.cache.parent.mkdir()
    read_only()
    with pytest.raises(StoreError) as caught:
        build(bundle, Builder(), lambda step: None)
    assert caught.value.message == f"`{bundle.cache}` cannot be written (it is read-only)"
    assert caught.value.hint == "set OLPIPE_HOME or OLLAMA_MODELS to a folder that you may write to"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no umask")
@pytest.mark.parametrize(
    ("umask", "file", "folder"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700), (0o002, 0o664, 0o775)]
)
def test_other_users_may_read_a_store_as_the_umask_says(tmp_path, umask, file, folder):
    before = os.umask(umask)
    try:
        library = Library(tmp_path / "models", cache=tmp_path / "cache")
        (tmp_path / "weights").write_bytes(b"weights")
        layer = replace(library.add_file(tmp_path / "weights"), name="model.bin")
        library.commit(ModelName.parse("tiny"), ModelConfig(), [layer])
        library.get(ModelName.parse("tiny"))
    finally:
        os.umask(before)
    made = [path for top in ("models", "cache") for path in (tmp_path / top).rglob("*") if path.suffix != ".lock"]
    modes = {path.relative_to(tmp_path).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in made}
    assert set(modes.values()) == {file, folder}
    assert {name for name, mode in modes.items() if mode == folder} == {
        path.relative_to(tmp_path).as_posix() for path in made if path.is_dir()
    }


def test_a_model_that_is_removed_while_it_is_loaded_is_not_here_instead_of_damaged(bundle, tmp_path):
    bundle = replace(bundle, path=tmp_path / "view")
    (tmp_path / "view").mkdir()
    with pytest.raises(ModelCorrupt):
        build(bundle, Builder(ModelCorrupt("`model.gguf` is not a file")), lambda step: None)
    (tmp_path / "view").rmdir()
    for attempt in (
        lambda: build(bundle, Builder(ModelCorrupt("`model.gguf` is not a file")), lambda step: None),
        lambda: backend_for(bundle, Registry("backend", Backend)),
    ):
        with pytest.raises(ModelNotFound, match="model `tiny:latest` was removed by another process just now"):
            attempt()
