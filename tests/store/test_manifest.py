import json

import pytest

from olpipe.model import MEDIA_TYPE, Layer, ModelConfig
from olpipe.store.manifest import Manifest, config_from_bytes, config_to_bytes

A, B, C = (f"sha256:{digit * 64}" for digit in "abc")


def manifest_json(**layer):
    config = {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": A, "size": 1}
    entry = {"mediaType": MEDIA_TYPE + "model", "digest": B, "size": 2} | layer
    return {"schemaVersion": 2, "config": config, "layers": [entry]}


def test_a_manifest_is_written_as_ollama_writes_it():
    manifest = Manifest(Layer(A, 10), (Layer(B, 20, name="model.gguf"), Layer(C, 3, MEDIA_TYPE + "license")))
    expected = (
        '{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",'
        f'"config":{{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"{A}","size":10}},'
        f'"layers":[{{"mediaType":"application/vnd.ollama.image.model","digest":"{B}","size":20,"name":"model.gguf"}},'
        f'{{"mediaType":"application/vnd.ollama.image.license","digest":"{C}","size":3}}]}}'
    )
    assert manifest.to_bytes().decode() == expected
    assert manifest.size_bytes == 33


def test_a_manifest_reads_back_what_was_written():
    layers = (Layer(B, 20, name="onnx/model.onnx"), Layer(C, 3, MEDIA_TYPE + "params"))
    read = Manifest.from_bytes(Manifest(Layer(A, 10), layers).to_bytes())
    assert read.layers == layers
    assert read.blob_digests == {A, B, C}


def test_a_manifest_that_ollama_wrote_is_read():
    value = manifest_json(digest=B.replace(":", "-").upper().replace("SHA", "sha"), **{"from": "/some/where"})
    assert Manifest.from_bytes(json.dumps(value).encode() + b"\n").layers == (Layer(B, 2),)


@pytest.mark.parametrize(
    "layer",
    [
        {"digest": "sha256:../../../../etc/passwd"},
        {"digest": "sha256:" + "a" * 63 + "/"},
        {"digest": "sha256:" + "a" * 64 + "\n"},
        {"digest": "md5:" + "a" * 64},
        {"digest": ""},
        {"digest": None},
        {"digest": 5},
        {"size": -1},
        {"size": "2"},
        {"size": True},
        {"size": 1.5},
        {"name": "../../x"},
        {"name": "/etc/passwd"},
        {"name": "C:\\x"},
        {"name": ["x"]},
        {"mediaType": 3},
    ],
    ids=str,
)
def test_a_hostile_layer_makes_the_manifest_unreadable(layer):
    with pytest.raises(ValueError, match=r"digest|count|text|path"):
        Manifest.from_bytes(json.dumps(manifest_json(**layer)).encode())


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b"\xff", b"{}", b'{"layers":{}}', b'{"layers":[3]}', b"[" * 100_000, b" " * 5_000_000],
    ids=lambda data: repr(data[:12]),
)
def test_what_is_no_manifest_is_refused(data):
    with pytest.raises(ValueError, match=r"."):
        Manifest.from_bytes(data)


def test_a_config_reads_back_what_was_written():
    config = ModelConfig(
        model_format="gguf",
        model_family="llama",
        model_type="134.52M",
        file_type="Q4_1",
        context_length=8192,
        embedding_length=576,
        capabilities=("completion", "vision"),
        perceivers=("objects",),
        languages=("en", "zh-Hans"),
        prompts=("Describe the photo.",),
        conversion={"format": 1, "precision": "int4"},
    )
    assert config_from_bytes(config_to_bytes(config, ())) == config


def test_a_config_layer_has_ollamas_keys():
    value = json.loads(config_to_bytes(ModelConfig(model_format="gguf", model_family="llama"), (Layer(A, 1),)))
    assert value == {
        "model_format": "gguf",
        "model_family": "llama",
        "model_families": ["llama"],
        "capabilities": ["completion"],
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [A]},
    }


@pytest.mark.parametrize(
    "wrong", [{"perceivers": "x"}, {"context_length": "8"}, {"conversion": [1]}, {"capabilities": [1]}]
)
def test_a_config_of_wrong_types_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        config_from_bytes(json.dumps(wrong).encode())


def test_a_layer_may_say_from_which_model_it_was_taken():
    value = manifest_json(**{"from": "me/base"})
    read = Manifest.from_bytes(json.dumps(value).encode())
    assert [layer.origin for layer in read.layers] == ["me/base:latest"]
    assert Manifest.from_bytes(read.to_bytes()) == read
