"""What a model's digest is, what conversion makes of it, and files that the store takes instead of copying them."""

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from olpipe.convert.architectures import FORMAT_VERSION
from olpipe.default_plugins.onnx.backend import OnnxBackend
from olpipe.errors import DigestMismatch, ModelCorrupt, PluginError, StoreError
from olpipe.model import ModelConfig, ModelName
from olpipe.store.build import build
from olpipe.store.leftovers import UNNAMED_BLOB_KEPT_S
from olpipe.store.library import Library
from olpipe.store.packages import add_package
from olpipe.testing.models import write_tiny_gguf

ONE, TWO = ModelName.parse("one"), ModelName.parse("two")


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


def silent(progress):
    pass


def foreign_manifest(library):
    """Return a manifest that no code of ours would write: other spacing, other order, keys that we do not know."""
    config = library.add_bytes(b'{ "model_format": "gguf", "model_family": "llama" }')
    layer = library.add_bytes(b"weights")
    value = {
        "config": {"size": config.size, "digest": config.digest, "mediaType": "application/json"},
        "annotations": {"org.example": "kept"},
        "layers": [
            {
                "size": layer.size,
                "mediaType": "application/vnd.ollama.image.model",
                "digest": layer.digest,
                "from": "/somewhere",
            }
        ],
        "schemaVersion": 2,
    }
    return json.dumps(value, indent=3).encode() + b"\n"


def test_a_manifest_from_elsewhere_is_kept_byte_for_byte_and_its_digest_is_that_of_its_bytes(library, tmp_path):
    data = foreign_manifest(library)
    library.commit_manifest(ONE, data)
    assert (tmp_path / "models/manifests/registry.ollama.ai/library/one/latest").read_bytes() == data
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert library.digest(ONE) == library.describe(ONE).digest == library.get(ONE).digest == digest
    assert (library.get(ONE).path / "model.gguf").read_bytes() == b"weights"
    library.copy(ONE, TWO)
    assert library.digest(TWO) == digest


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"layers":[]}'])
def test_what_is_no_manifest_is_refused_and_not_kept(library, data):
    with pytest.raises(ModelCorrupt, match="`one:latest` cannot be used: ") as caught:
        library.commit_manifest(ONE, data)
    assert caught.value.hint == "it was not kept; pull it again, or from elsewhere"
    assert library.names() == []


def test_a_manifest_whose_blobs_are_not_all_here_is_refused(library, tmp_path):
    data = foreign_manifest(library)
    (tmp_path / "models" / "blobs" / f"sha256-{hashlib.sha256(b'weights').hexdigest()}").unlink()
    with pytest.raises(StoreError, match="a part of `one:latest` was removed while it was pulled"):
        library.commit_manifest(ONE, data)
    with pytest.raises(ModelCorrupt, match=r"`one:latest` cannot be used: the file `model\.gguf` is missing"):
        library.stage(ONE, data)
    assert library.names() == []


def test_a_staged_model_is_laid_out_and_not_listed_and_forgetting_it_leaves_nothing(library, tmp_path):
    staged = library.stage(ONE, foreign_manifest(library))
    assert (staged.path / "model.gguf").read_bytes() == b"weights"
    assert library.names() == []
    staged.cache.mkdir(parents=True)
    library.forget(staged)
    assert not staged.path.exists()
    assert not staged.cache.exists()


def test_forgetting_a_staged_model_leaves_the_same_model_under_a_name(library):
    data = foreign_manifest(library)
    library.commit_manifest(TWO, data)
    staged = library.stage(ONE, data)
    library.forget(staged)
    assert (library.get(TWO).path / "model.gguf").read_bytes() == b"weights"


def test_what_was_made_of_models_that_were_never_committed_is_cleaned_up_once_it_is_old(library, tmp_path):
    library.commit_manifest(TWO, foreign_manifest(library))
    named = library.get(TWO)
    config = replace(library.add_bytes(b"{}"), name="x")
    staged = library.stage(ONE, library.compose(ModelConfig(model_format="x"), [config]))
    for folder in (named.cache, staged.cache):
        folder.mkdir(parents=True)
    library.clean()
    assert staged.path.exists()
    for folder in (named.path, named.cache, staged.path, staged.cache):
        then = folder.stat().st_mtime - UNNAMED_BLOB_KEPT_S - 9
        os.utime(folder, (then, then))
    library.clean()
    assert [folder.exists() for folder in (named.path, named.cache, staged.path, staged.cache)] == [
        True,
        True,
        False,
        False,
    ]


def test_an_upgrade_of_the_format_converts_again_and_removes_what_it_replaces(library, tmp_path, monkeypatch):
    add_package(write_tiny_gguf(tmp_path / "tiny.gguf"), ONE, library, silent)
    bundle = library.get(ONE)
    backend = OnnxBackend()
    build(bundle, backend, silent)
    assert [path.name for path in bundle.cache.iterdir()] == [f"onnx-{FORMAT_VERSION}"]
    build(bundle, backend, pytest.fail)  # it is there: nothing is done

    monkeypatch.setattr("olpipe.default_plugins.onnx.backend.FORMAT_VERSION", FORMAT_VERSION + 1)
    again = library.get(ONE)
    assert again.digest == bundle.digest
    steps = []
    build(again, backend, steps.append)
    assert steps
    assert [path.name for path in bundle.cache.iterdir()] == [f"onnx-{FORMAT_VERSION + 1}"]
    assert backend.refuses(again) is None


def test_a_backend_that_fails_to_build_is_told_with_its_name(library, tmp_path):
    class Clumsy(OnnxBackend):
        def build(self, bundle, progress):
            raise ZeroDivisionError("float division by zero")

    add_package(write_tiny_gguf(tmp_path / "tiny.gguf"), ONE, library, silent)
    with pytest.raises(PluginError, match=r"^the backend `onnx` failed: ZeroDivisionError: float division by zero$"):
        build(library.get(ONE), Clumsy(), silent)


def test_packages_of_the_folder_names_before_formats_had_versions_go_too(library, tmp_path):
    add_package(write_tiny_gguf(tmp_path / "tiny.gguf"), ONE, library, silent)
    bundle = library.get(ONE)
    (bundle.cache / "ort-genai-int4").mkdir(parents=True)
    build(bundle, OnnxBackend(), silent)
    assert [path.name for path in bundle.cache.iterdir()] == [f"onnx-{FORMAT_VERSION}"]


def test_what_killed_conversions_left_goes_once_it_is_old(library, tmp_path):
    add_package(write_tiny_gguf(tmp_path / "tiny.gguf"), ONE, library, silent)
    bundle = library.get(ONE)
    fresh, old = (bundle.cache / f"onnx-{FORMAT_VERSION}-{name}.unfinished" for name in ("fresh", "old"))
    for folder in (fresh, old):
        folder.mkdir(parents=True)
    os.utime(old, (1, 1))
    build(bundle, OnnxBackend(), silent)
    assert sorted(path.name for path in bundle.cache.iterdir()) == [f"onnx-{FORMAT_VERSION}", fresh.name]


def digest_of(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def blob(tmp_path, data):
    return tmp_path / "models" / "blobs" / f"sha256-{hashlib.sha256(data).hexdigest()}"


@pytest.mark.parametrize("mode", [0o600, 0o444])
def test_a_file_that_may_be_taken_becomes_the_blob_itself(library, tmp_path, mode):
    path = library.partial("x") / "weights"
    path.write_bytes(b"weights")
    path.chmod(mode)
    number = path.stat().st_ino
    seen = []
    layer = library.add_file(path, digest=digest_of(b"weights"), move=True, progress=seen.append)
    assert (layer.digest, layer.size) == (digest_of(b"weights"), 7)
    assert blob(tmp_path, b"weights").stat().st_ino == number
    assert not path.exists()
    assert (seen[-1].completed, seen[-1].total) == (7, 7)


def test_a_file_that_may_be_taken_and_is_here_already_is_gone_afterwards(library, tmp_path):
    library.add_bytes(b"weights")
    path = library.partial("x") / "weights"
    path.write_bytes(b"weights")
    assert library.add_file(path, move=True).digest == digest_of(b"weights")
    assert not path.exists()
    assert blob(tmp_path, b"weights").read_bytes() == b"weights"


def test_a_file_with_the_wrong_bytes_is_not_taken_and_does_not_stay(library, tmp_path):
    path = library.partial("x") / "weights"
    path.write_bytes(b"others")
    with pytest.raises(DigestMismatch):
        library.add_file(path, digest=digest_of(b"weights"), move=True)
    assert not path.exists()
    assert list((tmp_path / "models" / "blobs").iterdir()) == []


def test_a_file_stays_where_it_is_when_storing_it_is_cancelled(library, tmp_path):
    path = library.partial("x") / "weights"
    path.write_bytes(b"weights")

    def cancel(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        library.add_file(path, move=True, progress=cancel)
    assert path.read_bytes() == b"weights"
    assert list((tmp_path / "models" / "blobs").iterdir()) == []


@pytest.mark.parametrize("kind", ["link", "second name", "not allowed"])
def test_files_that_somebody_would_miss_are_copied(library, tmp_path, kind):
    original = tmp_path / "original"
    original.write_bytes(b"weights")
    path = tmp_path / "weights"
    if kind == "link":
        path.symlink_to(original)
    elif kind == "second name":
        path.hardlink_to(original)
    else:
        shutil.copy(original, path)
    number = original.stat().st_ino
    layer = library.add_file(path, digest=digest_of(b"weights"), move=kind != "not allowed")
    assert layer.digest == digest_of(b"weights")
    assert path.read_bytes() == original.read_bytes() == b"weights"
    assert blob(tmp_path, b"weights").stat().st_ino not in (number, path.stat().st_ino)
    (tmp_path / "weights").write_bytes(b"changed")
    assert blob(tmp_path, b"weights").read_bytes() == b"weights"


def test_a_file_on_another_file_system_is_copied(library, tmp_path):
    other = "/dev/shm"
    if not os.path.isdir(other) or os.stat(other).st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("this machine has no second writable file system at /dev/shm")
    folder = Path(tempfile.mkdtemp(dir=other))
    try:
        path = folder / "weights"
        path.write_bytes(b"weights")
        layer = library.add_file(path, digest=digest_of(b"weights"), move=True)
        assert layer.digest == digest_of(b"weights")
        assert blob(tmp_path, b"weights").read_bytes() == b"weights"
    finally:
        shutil.rmtree(folder)


def test_where_blocks_cannot_be_shared_a_file_is_copied_whole(library, tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.ioctl", refuse)
    path = tmp_path / "weights"
    path.write_bytes(b"weights" * 300_000)
    layer = library.add_file(path)
    assert blob(tmp_path, b"weights" * 300_000).read_bytes() == path.read_bytes()
    assert layer.size == path.stat().st_size
    assert list((tmp_path / "models" / "incoming").glob("blob-*")) == []


def test_where_blocks_can_be_shared_the_digest_is_that_of_what_came(library, tmp_path, monkeypatch):
    path = tmp_path / "weights"
    path.write_bytes(b"weights")

    def share(target, request, source):
        os.pwrite(target, os.pread(source, 100, 0), 0)

    monkeypatch.setattr("fcntl.ioctl", share)
    assert library.add_file(path, digest=digest_of(b"weights")).digest == digest_of(b"weights")
    assert blob(tmp_path, b"weights").read_bytes() == b"weights"
    with pytest.raises(DigestMismatch):
        library.add_file(path, digest=digest_of(b"others"))
    assert [found.name for found in (tmp_path / "models" / "blobs").iterdir()] == [blob(tmp_path, b"weights").name]
    assert list((tmp_path / "models" / "incoming").glob("blob-*")) == []
