"""Pulling from registries: the models of Ollama's library, artifacts of others, and what is refused early."""

import json

import pytest

from olpipe.default_plugins.sources.registry.address import Address
from olpipe.default_plugins.sources.registry.options import Options
from olpipe.default_plugins.sources.registry.source import RegistrySource
from olpipe.default_plugins.sources.transfer.options import Patience
from olpipe.errors import (
    InvalidName,
    ModelCorrupt,
    ModelNotFound,
    ModelUnsupported,
    NotAtSource,
    PullFailed,
    SourceUnreachable,
    UsageError,
)
from olpipe.interfaces import Backend
from olpipe.model import ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.library import Library
from olpipe.store.pull import pull
from olpipe.store.resolve import find_source
from olpipe.testing.contracts import ModelSourceContract
from olpipe.testing.models import write_tiny_gguf
from olpipe.testing.vision_models import write_vision_gguf
from tests.server.started import free_port
from tests.store.registry_server import OCI_MANIFEST, TITLE, RegistryServer, digest_of

QUICK = Patience(connect_s=5, stall_s=5, answer_s=5, first_wait_s=0.01, longest_wait_s=0.05)


@pytest.fixture
def server():
    with RegistryServer() as server:
        yield server


@pytest.fixture
def weights(tmp_path):
    return write_tiny_gguf(tmp_path / "tiny.gguf").read_bytes()


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


@pytest.fixture
def plugins():
    return Plugins.load(Settings(plugins_allow=()))


@pytest.fixture
def bring(server, library, plugins, monkeypatch):
    """Pull a name as `olpipe pull` does, from the server as the default registry."""
    monkeypatch.setenv("OLPIPE_REGISTRY", server.url)

    def bring(text, *, insecure=False):
        origin, name = find_source(text, plugins, insecure=insecure)
        told = []
        bundle = pull(origin, name, library, plugins, progress=told.append)
        return bundle, told

    return bring


class TestRegistrySource(ModelSourceContract):
    @pytest.fixture
    def source(self, server):
        options = Options(registry=server.url, patience=QUICK)
        return RegistrySource(lambda: options)

    @pytest.fixture
    def reference(self, server, weights):
        server.put("library/tiny", [server.layer(weights)])
        return "tiny"

    @pytest.fixture
    def push_reference(self, server):
        return "me/mine:v1"


def test_a_model_of_the_library_is_pulled_with_everything_that_belongs_to_it(bring, server, weights, library):
    config = {"model_format": "gguf", "model_family": "llama", "model_type": "1M", "file_type": "F32"}
    turns = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "ahoy"}]
    layers = [
        server.layer(weights),
        server.layer(b"{{ .System }} {{ .Prompt }}", "template"),
        server.layer(b"You are a pirate.", "system"),
        server.layer(b'{"temperature": 0.25, "stop": ["END"]}', "params"),
        server.layer(json.dumps(turns).encode(), "messages"),
        server.layer(b"Do what you want.", "license"),
        server.layer(b"And give credit.", "license"),
    ]
    manifest = server.put("library/pirate:7b", layers, config=config)
    bundle, told = bring("pirate:7b")
    assert bundle.name == ModelName.parse("pirate:7b")
    assert bundle.digest == digest_of(manifest)
    assert library.describe(bundle.name).data == manifest
    assert (bundle.path / "model.gguf").read_bytes() == weights
    assert bundle.system == "You are a pirate."
    assert bundle.parameters == {"temperature": 0.25, "stop": ["END"]}
    assert [(turn.role, turn.text) for turn in bundle.messages] == [("user", "hello"), ("assistant", "ahoy")]
    assert bundle.licenses == ("Do what you want.", "And give credit.")
    assert library.texts(library.describe(bundle.name), "template") == ["{{ .System }} {{ .Prompt }}"]
    assert (bundle.config.model_type, bundle.config.file_type) == ("1M", "F32")
    assert told[0].status == "pulling manifest"
    model = [step for step in told if step.digest == digest_of(weights)]
    assert {step.status for step in model} == {f"pulling {digest_of(weights)[7:19]}"}
    assert model[-1].completed == model[-1].total == len(weights)


def test_a_vision_model_is_pulled_with_its_projector(bring, server, tmp_path):
    text, projector = write_vision_gguf("qwen2_5_vl", tmp_path / "seer")
    layers = [server.layer(text.read_bytes()), server.layer(projector.read_bytes(), "projector")]
    server.put("library/seer", layers, config={"model_format": "gguf", "model_family": "qwen2vl"})
    bundle, _ = bring("seer")
    assert (bundle.path / "projector.gguf").read_bytes() == projector.read_bytes()
    assert any(bundle.cache.rglob("vision.onnx"))
    assert bundle.config.capabilities == ("completion", "vision")


def test_an_artifact_that_was_not_made_for_ollama_is_pulled_by_the_names_of_its_files(bring, server, weights):
    titled = server.layer(weights, "application/octet-stream", annotations={TITLE: "weights/Tiny.Q4.gguf"})
    readme = server.layer(b"# Tiny", "text/markdown", annotations={TITLE: "README.md"})
    server.put("someone/tiny", [titled, readme], config={}, media_type=OCI_MANIFEST)
    with pytest.raises(ModelUnsupported, match=r"neither a \.gguf file"):
        bring("someone/tiny")
    titled["annotations"] = {TITLE: "Tiny.Q4.gguf"}
    server.put("someone/tiny", [titled, readme], config={}, media_type=OCI_MANIFEST)
    bundle, _ = bring("someone/tiny")
    assert (bundle.path / "Tiny.Q4.gguf").read_bytes() == weights
    assert (bundle.path / "README.md").read_bytes() == b"# Tiny"
    assert bundle.config.model_format == "gguf"


def test_a_name_on_any_host_is_asked_for_there(server, weights, library, plugins, monkeypatch):
    monkeypatch.setenv("OLPIPE_REGISTRY", "http://127.0.0.1:1")
    server.put("somebody/tiny", [server.layer(weights)])
    for text in (f"{server.host}/somebody/tiny", f"http://{server.host}/somebody/tiny"):
        origin, name = find_source(text, plugins, insecure=True)
        assert str(name) == f"{server.host}/somebody/tiny:latest"
        pull(origin, name, library, plugins, progress=lambda step: None)
    assert library.names() == [name]
    with pytest.raises(UsageError, match="asks for plain HTTP"):
        find_source(f"http://{server.host}/somebody/tiny", plugins)
    origin, name = find_source(f"https://{server.host}/somebody/tiny", plugins)
    with pytest.raises(PullFailed, match="does not speak HTTPS") as caught:
        pull(origin, name, library, plugins, progress=lambda step: None)
    assert "--insecure" in caught.value.hint


@pytest.mark.parametrize(
    ("reference", "url", "repository", "trusted"),
    [
        ("llama3", "https://r.example", "library/llama3", True),
        ("me/llama3:8b", "https://r.example", "me/llama3", True),
        ("registry.ollama.ai/library/llama3:latest", "https://r.example", "library/llama3", True),
        ("http://registry.ollama.ai/library/llama3", "http://r.example", "library/llama3", True),
        ("Ghcr.IO/me/llama3", "https://ghcr.io", "me/llama3", True),
        ("//ghcr.io/me/llama3", "https://ghcr.io", "me/llama3", True),
        ("http://localhost:5000/me/llama3:x", "http://localhost:5000", "me/llama3", True),
    ],
)
def test_a_reference_says_where_a_model_is(reference, url, repository, trusted):
    address = Address.parse(reference, "https://r.example")
    assert (address.url, address.repository, address.trusted) == (url, repository, trusted)
    assert Address.parse("llama3", "http://r.example").trusted is False


@pytest.mark.parametrize(
    "text",
    [
        "oci:",
        "oci:a/b/c/d",
        "oci:http://",
        "oci:../x",
        "ftp://a/b/c",
        "oci:a:b/c/d",
        "a:99999/b/c",
        "a:/b/c",
        "a:1:2/b/c",
    ],
)
def test_what_names_no_model_in_a_registry_is_refused(bring, text):
    with pytest.raises((InvalidName, ModelNotFound)):
        bring(text)


def test_where_registries_are_switched_off_none_is_asked(plugins, library):
    origin, _ = find_source("oci:tiny", plugins)
    with pytest.raises(PullFailed, match="OLPIPE_REGISTRY switches registries off"):
        pull(origin, ModelName.parse("tiny"), library, plugins, progress=lambda step: None)


def test_a_model_that_the_registry_does_not_have_is_named_with_the_registry(bring, server):
    with pytest.raises(NotAtSource) as caught:
        bring("nobody/has-it:7b")
    assert caught.value.message == f"the registry `{server.host}` has no model `nobody/has-it:7b`"


def test_a_registry_where_nobody_answers_is_told_at_once(bring, monkeypatch):
    port = free_port()
    monkeypatch.setenv("OLPIPE_REGISTRY", f"http://127.0.0.1:{port}")
    with pytest.raises(SourceUnreachable, match=f"could not reach `127.0.0.1:{port}`: .*refused"):
        bring("tiny")


# --- what is refused before it is downloaded ----------------------------------------------------


def unsupported(weights, architecture=b"alien"):
    return weights.replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0" + architecture)


def test_an_architecture_that_the_config_names_is_refused_before_the_download(bring, server, weights, library):
    layer = server.layer(weights)
    server.put("library/tiny", [layer], config={"model_format": "gguf", "model_family": "gemma2"})
    with pytest.raises(ModelUnsupported) as caught:
        bring("tiny")
    assert caught.value.message == "`tiny:latest` has the architecture `gemma2`, which no backend here can run"
    assert caught.value.hint.startswith("the nearest that can be run is `gemma3`; these can be run: bert, gemma3, ")
    assert server.sent[layer["digest"]] == 0
    assert library.names() == []


@pytest.mark.parametrize("config", [{}, {"model_format": "gguf"}])
def test_an_architecture_that_only_the_file_names_is_refused_by_its_header(bring, server, weights, library, config):
    data = unsupported(weights) + bytes(8 << 20)
    layer = server.layer(data, annotations={TITLE: "tiny.gguf"})
    later = server.layer(b"license", "license")
    server.put("library/tiny", [later, layer], config=config)
    with pytest.raises(ModelUnsupported, match="`tiny:latest` has the architecture `alien`"):
        bring("tiny")
    assert 0 < server.sent[layer["digest"]] <= 1 << 20
    assert server.sent[later["digest"]] == 0
    assert [path for path in library.folder.joinpath("incoming").iterdir() if path.suffix != ".lock"] == []


def test_a_header_is_read_however_long_it_is(bring, server, tmp_path):
    words = tuple(f"<word-{number:06}-{'x' * 400}>" for number in range(4000))
    data = write_tiny_gguf(tmp_path / "long.gguf", special=words).read_bytes()
    assert len(data) > 3 << 20
    server.put("library/long", [server.layer(data)], config={})
    server.manifests["library/long", "latest"] = _with_format(server, "library/long")
    bundle, _ = bring("long")
    assert (bundle.path / "model.gguf").read_bytes() == data
    assert server.sent[digest_of(data)] == len(data)
    damaged = unsupported(data)
    server.put("library/damaged", [server.layer(damaged)], config={"model_format": "gguf"})
    with pytest.raises(ModelUnsupported, match="architecture `alien`"):
        bring("damaged")


def _with_format(server, repository):
    layers = json.loads(server.manifests[repository, "latest"][0])["layers"]
    server.put(repository, layers, config={"model_format": "gguf"})
    return server.manifests[repository, "latest"]


def test_a_damaged_header_is_refused_before_the_rest_is_fetched(bring, server, weights):
    data = weights[:64] + bytes(80 << 20)
    server.put("library/tiny", [server.layer(data)], config={"model_format": "gguf"})
    with pytest.raises(ModelUnsupported, match="not a sound GGUF file"):
        bring("tiny")
    assert server.sent[digest_of(data)] <= 64 << 20


def test_an_adapter_that_nothing_applies_is_not_left_out_silently(bring, server, weights):
    server.put("library/tiny", [server.layer(weights), server.layer(b"GGUF lora", "adapter")])
    with pytest.raises(ModelUnsupported, match="its adapter is a GGUF file"):
        bring("tiny")


def test_an_image_of_a_container_is_no_model(bring, server):
    layer = server.layer(b"tar" * 1000, "application/vnd.oci.image.layer.v1.tar+gzip")
    server.put("library/nginx", [layer], config={"architecture": "amd64"}, media_type=OCI_MANIFEST)
    with pytest.raises(ModelUnsupported, match="`nginx:latest` has no files of a model"):
        bring("nginx")
    assert server.sent[layer["digest"]] == 0


def test_two_files_of_one_name_are_refused(bring, server, weights):
    server.put("library/tiny", [server.layer(weights), server.layer(unsupported(weights, b"llamb"))])
    with pytest.raises(ModelCorrupt, match=r"two files are called `model\.gguf`"):
        bring("tiny")


def test_a_pin_is_checked_before_the_download(bring, server, weights):
    layer = server.layer(weights)
    manifest = server.put("library/tiny", [layer])
    with pytest.raises(Exception, match="has the digest"):
        bring(f"tiny@sha256:{'0' * 64}")
    assert server.sent[layer["digest"]] == 0
    assert bring(f"tiny@{digest_of(manifest)}")[0].digest == digest_of(manifest)


def test_a_model_larger_than_the_disk_is_refused_before_the_download(bring, server, weights):
    layer = server.layer(weights)
    server.put("library/tiny", [layer, {**layer, "digest": f"sha256:{'1' * 64}", "size": 1 << 60}])
    with pytest.raises(Exception, match=r"needs .* TB, and `.*` has .* left"):
        bring("tiny")
    assert server.sent[layer["digest"]] == 0


def test_a_package_is_pulled_by_the_names_of_its_files(bring, server):
    model = {"type": "llama", "context_length": 64, "decoder": {"filename": "model.onnx", "hidden_size": 8}}
    layers = [
        server.layer(json.dumps({"model": model}).encode(), "x/y", annotations={TITLE: "genai_config.json"}),
        server.layer(b"{}", "x/y", annotations={TITLE: "tokens/tokenizer.json"}),
    ]
    server.put("library/package", layers, config={}, media_type=OCI_MANIFEST)
    bundle, _ = bring("package")
    assert bundle.config.model_format == "onnx"
    assert (bundle.path / "tokens" / "tokenizer.json").read_bytes() == b"{}"


class Unspoken(Backend):
    """Runs nothing, and does not say which architectures it runs."""

    name, version = "unspoken", "1"

    def refuses(self, bundle):
        return "it is none of mine"

    def load(self, bundle, options):
        raise AssertionError("it is never asked to")


def test_where_a_backend_does_not_say_what_it_runs_the_file_decides(bring, server, weights, plugins):
    plugins.backends.register(Unspoken(), "stranger")
    server.put("library/tiny", [server.layer(weights)], config={"model_format": "gguf", "model_family": "gemma2"})
    assert bring("tiny")[0].config.model_family == "gemma2"
    server.put("library/alien", [server.layer(unsupported(weights))], config={"model_format": "gguf"})
    with pytest.raises(ModelUnsupported, match="`unspoken`: it is none of mine"):
        bring("alien")


@pytest.mark.parametrize("config", [[], {"model_format": 3}, {"conversion": "x"}])
def test_a_config_that_makes_no_sense_is_refused_before_the_download(bring, server, weights, config):
    layer = server.layer(weights)
    server.put("library/tiny", [layer], config=config)
    with pytest.raises(ModelCorrupt, match="`tiny:latest` cannot be used"):
        bring("tiny")
    assert server.sent[layer["digest"]] == 0


def test_a_text_that_is_too_large_is_refused_before_the_download(bring, server, weights):
    layer = server.layer(bytes(5 << 20), "license")
    server.put("library/tiny", [server.layer(weights), layer])
    with pytest.raises(ModelCorrupt, match=r"of the type `application/vnd\.ollama\.image\.license` has 5242880 bytes"):
        bring("tiny")
    assert server.sent[layer["digest"]] == 0


def test_a_blob_that_is_here_with_another_size_than_the_manifest_says_is_told(bring, server, weights):
    layer = server.layer(weights)
    server.put("library/tiny", [layer])
    bring("tiny")
    server.put("library/liar", [{**layer, "size": 5}])
    with pytest.raises(ModelCorrupt, match=f"its manifest says that {layer['digest']} has 5 bytes"):
        bring("liar")
