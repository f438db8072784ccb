"""What pruning removes, what it keeps, and what the disk is used for."""

import os
import time
from dataclasses import replace

import pytest
from filelock import FileLock

from olpipe.convert.architectures import FORMAT_VERSION
from olpipe.model import ModelConfig, ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.disk import freed_by, used
from olpipe.store.leftovers import TEMPORARY_KEPT_S
from olpipe.store.library import Library
from olpipe.store.prune import plan, prune
from olpipe.store.pull import pull
from olpipe.store.resolve import find_source
from olpipe.store.usage import usage
from olpipe.testing.models import write_tiny_gguf

ONE, TWO = ModelName.parse("one"), ModelName.parse("two")
KB = 1 << 10


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


def add(library, name, **files):
    layers = [replace(library.add_bytes(data), name=f"{end}.bin") for end, data in files.items()]
    library.commit(name, ModelConfig(model_format="raw"), layers)
    return library.get(name)


def make_old(path, seconds=TEMPORARY_KEPT_S + 9):
    for one in [path, *path.rglob("*")]:
        then = time.time() - seconds
        os.utime(one, (then, then), follow_symlinks=False)


def removed(library):
    """Prune, and return what was removed: its kind and its name."""
    return sorted((one.kind, one.path.name) for one in prune(library).leftovers)


def test_blobs_that_no_model_needs_go_after_an_hour(library):
    add(library, ONE, a=b"needed")
    fresh, old = library.add_bytes(b"fresh"), library.add_bytes(b"old")
    make_old(library.blob_path(old.digest))
    planned = plan(library)
    assert library.has(old.digest) and [one.kind for one in planned.leftovers] == ["blob"]
    make_old(library.blob_path(old.digest))
    assert removed(library) == [("blob", library.blob_path(old.digest).name)]
    assert library.has(fresh.digest) and library.get(ONE)
    assert plan(library).notes == ("1 blob that no model needs stays, because it came less than an hour ago",)


def test_blobs_stay_where_the_settings_say_so(tmp_path):
    library = Library(tmp_path / "models", cache=tmp_path / "cache", keeps_blobs=True)
    old = library.add_bytes(b"old")
    make_old(library.folder)
    assert removed(library) == []
    assert plan(library).notes == ("1 blob that no model needs stays, because OLLAMA_NOPRUNE is set",)
    assert library.has(old.digest)


def test_nothing_of_a_model_goes_where_a_manifest_cannot_be_read(library):
    view = add(library, ONE, a=b"needed").path
    (path,) = (path for path in (library.folder / "manifests").rglob("*") if path.is_file())
    path.write_bytes(b"{")
    make_old(library.folder)
    make_old(library.cache)
    assert removed(library) == []
    assert view.is_dir()
    assert plan(library).notes[0].startswith("blobs stay, because it is not known which are needed: ")


def test_what_was_made_of_models_that_are_gone_goes(library):
    bundle = add(library, ONE, a=b"needed")
    kept = add(library, TWO, a=b"other")
    bundle.cache.mkdir(parents=True)
    (bundle.cache / "package").write_bytes(b"x" * KB)
    bundle.cache.with_name(f"{bundle.cache.name}.lock").touch()
    bundle.cache.with_name(f"{bundle.cache.name}.seal").touch()
    manifest = library.folder / "manifests/registry.ollama.ai/library/one/latest"
    manifest.unlink()  # another program has removed it
    make_old(library.folder)
    make_old(library.cache)
    found = removed(library)
    assert ("view", bundle.path.name) in found and ("conversion", bundle.cache.name) in found
    assert list(bundle.cache.parent.iterdir()) == []
    assert kept.path.is_dir() and not bundle.path.exists()


def test_a_conversion_that_goes_on_stays(library):
    bundle = add(library, ONE, a=b"needed")
    unfinished = bundle.cache / "onnx-1-abc.unfinished"
    unfinished.mkdir(parents=True)
    make_old(library.cache)
    with FileLock(bundle.cache.with_name(f"{bundle.cache.name}.lock")):
        assert removed(library) == []
    assert removed(library) == [("conversion", unfinished.name)]


def test_conversions_of_earlier_formats_go(library):
    bundle = add(library, ONE, a=b"needed")
    for name in (f"onnx-{FORMAT_VERSION - 1}", f"onnx-{FORMAT_VERSION}", f"onnx-{FORMAT_VERSION + 1}", "ort-genai-3"):
        (bundle.cache / name).mkdir(parents=True)
    (bundle.cache / "a-plugin").mkdir()
    assert removed(library) == [("conversion", f"onnx-{FORMAT_VERSION - 1}"), ("conversion", "ort-genai-3")]
    assert {path.name for path in bundle.cache.iterdir()} == {
        f"onnx-{FORMAT_VERSION}",
        f"onnx-{FORMAT_VERSION + 1}",
        "a-plugin",
    }


def test_files_of_processes_that_died_go(library):
    add(library, ONE, a=b"needed")
    leftovers = [library.incoming / "blob-x", library.incoming / "manifest-x", library.cache / "views" / ".old-x"]
    for path in leftovers:
        path.write_bytes(b"half") if path.name[0] != "." else path.mkdir()
        make_old(path)
    (library.incoming / "create-x").mkdir()
    (library.incoming / "blob-young").write_bytes(b"half")
    assert removed(library) == sorted(("temporary", path.name) for path in leftovers)
    assert {path.name for path in library.incoming.iterdir()} == {"blob-young", "create-x", "store.lock"}


def test_notes_about_models_that_are_gone_and_damaged_blobs_go(library):
    bundle = add(library, ONE, a=b"needed")
    library.origins.keep(bundle.digest, "oci:one")
    library.origins.keep(f"sha256:{'0' * 64}", "oci:gone")
    (library.folder / "damaged").mkdir()
    (library.folder / "damaged" / "sha256-x").write_bytes(b"x")
    assert removed(library) == [("damaged", "sha256-x"), ("facts", f"{'0' * 64}.json")]
    assert library.origins.get(bundle.digest) == "oci:one"


def test_a_plan_says_how_much_is_freed(library):
    big = library.add_bytes(os.urandom(256 * KB))
    make_old(library.blob_path(big.digest))
    assert plan(library).freed_bytes == used(library.blob_path(big.digest)) >= 256 * KB


def test_a_file_with_a_name_elsewhere_frees_nothing(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"x" * 9999)
    os.link(tmp_path / "a" / "x", tmp_path / "y")
    assert freed_by([tmp_path / "a"]) == 0
    assert freed_by([tmp_path / "a", tmp_path / "y"]) == used(tmp_path / "y") > 0


def test_pruning_a_store_that_is_not_there_makes_none(library, tmp_path):
    assert prune(library).leftovers == ()
    assert list(tmp_path.iterdir()) == []


# --- what the disk is used for -------------------------------------------------------------------


def test_what_a_model_takes_alone_is_what_its_removal_frees(library):
    shared, own = os.urandom(512 * KB), os.urandom(128 * KB)
    add(library, ONE, a=shared, b=own)
    add(library, TWO, a=shared)
    found = usage(library)
    one, two = (next(model for model in found.models if model.name == name) for name in (ONE, TWO))
    assert [model.name for model in found.models] == [ONE, TWO]
    assert one.shared == two.shared >= 512 * KB
    before = used(library.folder / "blobs")
    library.remove(ONE)
    assert before - used(library.folder / "blobs") == one.own >= 128 * KB
    assert usage(library).models[0].shared == 0


def test_a_second_name_takes_nothing_of_its_own(library):
    add(library, ONE, a=os.urandom(64 * KB))
    library.copy(ONE, TWO)
    assert [model.own for model in usage(library).models] == [0, 0]


def test_everything_is_counted_once_and_the_parts_add_up(library, tmp_path):
    plugins = Plugins.load(Settings(plugins_allow=()))
    origin, _ = find_source(f"file:{write_tiny_gguf(tmp_path / 'tiny.gguf')}", plugins)
    bundle = pull(origin, ONE, library, plugins, progress=lambda _: None)
    add(library, TWO, big=os.urandom(5 << 20))  # its file is linked where it is laid out
    library.add_bytes(os.urandom(32 * KB))
    partial = library.partial("blob:x")
    with (partial / "data").open("wb") as file:
        file.truncate(1 << 30)
        file.write(b"x" * 64 * KB)
    (library.cache / "evidence.sqlite").write_bytes(b"x" * 16 * KB)
    found = usage(library)
    models = {model.name: model for model in found.models}
    assert models[ONE].conversion >= used(bundle.cache) > 0
    assert models[TWO].conversion == 0 and models[TWO].own >= 5 << 20
    assert found.unneeded >= 32 * KB and found.evidence >= 16 * KB
    assert 64 * KB <= found.downloads[0].size_bytes < 1 << 20
    parts = sum(model.own + model.conversion for model in found.models) + found.unneeded + found.evidence
    assert parts + found.downloads[0].size_bytes + found.other == found.total
    assert found.other < 200 * KB


def test_an_empty_store_takes_nothing(library):
    found = usage(library)
    assert (found.models, found.downloads, found.total) == ((), (), 0)
