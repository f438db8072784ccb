"""The whole way of a model, on a machine that has none: from every kind of place, through every use, and away again.

A library, a hub and a registry on loopback stand in for those of the internet.
"""

import json

import pytest
from PIL import Image

from olpipe.cli.main import main
from olpipe.default_plugins.sources.transfer import download
from olpipe.testing.models import write_tiny_gguf
from olpipe.testing.vision.photos import smooth_photo
from olpipe.testing.vision_models import write_vision_gguf
from olpipe.testing.wheels import write_wheel
from tests.default_plugins.hub_server import HubServer
from tests.store.registry_server import RegistryServer, digest_of

HUB_MODEL = "somebody/Tiny-GGUF"
SHORT = ("--temperature", 0, "--max-tokens", 2)


@pytest.fixture
def hub():
    with HubServer() as hub:
        yield hub


@pytest.fixture
def company():
    """A registry under a host of its own."""
    with RegistryServer() as server:
        yield server


@pytest.fixture
def olpipe(hub, monkeypatch, capsys, tmp_path):
    """Run a command in this process, and return its data. It must succeed, unless another exit code is expected."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))

    def run(*arguments, code=0):
        with pytest.raises(SystemExit) as ended:
            main(list(map(str, arguments)))
        captured = capsys.readouterr()
        assert ended.value.code == code, captured.err
        return captured.out

    return run


@pytest.fixture
def shop(monkeypatch):
    """The library: names without a host lead to it."""
    with RegistryServer() as server:
        monkeypatch.setenv("OLPIPE_REGISTRY", server.url)
        yield server


def weights(folder, seed):
    return write_tiny_gguf(folder / f"tiny-{seed}.gguf", seed=seed).read_bytes()


def config(number):
    return {"model_format": "gguf", "model_family": "llama", "model_type": f"{number}K"}


def digests(olpipe):
    """Return the digests of the models that are here, by their names."""
    return {model["name"]: model["digest"] for model in json.loads(olpipe("list", "--json"))}


def unfinished(home):
    """Return what pulls have left, except for the files that processes lock."""
    return [path.name for path in (home / "models" / "incoming").iterdir() if path.suffix != ".lock"]


def test_a_model_comes_from_every_kind_of_place_and_is_used_changed_passed_on_and_removed(
    olpipe, shop, hub, company, tmp_path, isolated_home
):
    assert digests(olpipe) == {}
    # 1. Every kind of name
    text, projector = (path.read_bytes() for path in write_vision_gguf("idefics3", tmp_path / "seeing"))
    seeing = shop.put("library/seeing", [shop.layer(text), shop.layer(projector, "projector")])
    tagged = shop.put("library/tiny:1b", [shop.layer(weights(tmp_path, 1))], config=config(1))
    theirs = company.put("me/tiny:v1", [company.layer(weights(tmp_path, 2))], config=config(2))
    named = company.put("me/other", [company.layer(weights(tmp_path, 3))], config=config(3))
    hub.put(HUB_MODEL, {"tiny-Q4_K_M.gguf": weights(tmp_path, 4), "tiny-Q8_0.gguf": b"not this one"})
    write_wheel(tmp_path / "wheels", "tiny-weights", "1.0", {"tiny_weights/model.gguf": weights(tmp_path, 5)})
    weights(tmp_path, 6)
    olpipe("pull", "seeing")
    olpipe("pull", "tiny:1b")
    olpipe("pull", f"{company.host}/me/tiny:v1", "--insecure")
    olpipe("pull", f"oci:{company.host}/me/other", "--insecure")
    olpipe("pull", f"hf.co/{HUB_MODEL}:Q4_K_M")
    olpipe("pull", f"file:{tmp_path / 'tiny-6.gguf'}", "--name", "mine")
    olpipe("pull", "pip:tiny-weights==1.0", "--name", "packed")
    # 2. They are here, byte for byte
    found = digests(olpipe)
    pulled = {
        "seeing:latest": seeing,
        "tiny:1b": tagged,
        f"{company.host}/me/tiny:v1": theirs,
        f"{company.host}/me/other:latest": named,
    }
    assert {name: f"sha256:{found[name]}" for name in pulled} == {
        name: digest_of(manifest) for name, manifest in pulled.items()
    }
    assert found.keys() - pulled.keys() == {f"hf.co/{HUB_MODEL}:Q4_K_M", "mine:latest", "packed:latest"}
    assert len(set(found.values())) == len(found)
    assert "llama" in olpipe("show", f"hf.co/{HUB_MODEL}:Q4_K_M")
    assert "vision" in olpipe("show", "seeing")
    # 3. They answer
    assert olpipe("run", "tiny:1b", "the cat", *SHORT)
    Image.fromarray(smooth_photo(60, 40, seed=1)).save(tmp_path / "sea.png")
    assert olpipe("run", "seeing", "What is in sea.png?", *SHORT)
    # 4. One is changed, copied and passed on
    (tmp_path / "Modelfile").write_text('FROM tiny:1b\nSYSTEM "Be kind."\nPARAMETER temperature 0\n')
    olpipe("create", "kind", "-f", "Modelfile")
    assert olpipe("show", "kind", "--system") == "Be kind."
    copy = f"{company.host}/me/kind:v2"
    olpipe("cp", "kind", copy)
    olpipe("push", copy, "--insecure")
    assert digests(olpipe)[copy] == digests(olpipe)["kind:latest"]
    # 5. All are removed, and the one that was passed on comes back the same
    kind = digests(olpipe)[copy]
    olpipe("store", "verify")
    olpipe("rm", *digests(olpipe))
    assert digests(olpipe) == {}
    assert list((isolated_home / "models" / "blobs").iterdir()) == []
    olpipe("pull", copy, "--insecure")
    assert digests(olpipe) == {copy: kind}
    assert olpipe("show", copy, "--system") == "Be kind."
    olpipe("store", "verify")
    assert unfinished(isolated_home) == []


def test_a_connection_that_is_cut_ten_times_brings_every_byte_once_and_leaves_nothing_unfinished(
    olpipe, shop, tmp_path, isolated_home, monkeypatch
):
    monkeypatch.setattr(download, "LEAST_PART_BYTES", 512 << 10)  # several connections for files of a few megabytes
    text, projector = (path.read_bytes() for path in write_vision_gguf("qwen3_vl", tmp_path / "seeing"))
    manifest = shop.put("library/seeing", [shop.layer(text), shop.layer(projector, "projector")])
    shop.cuts = [100_000 + 20_000 * number for number in range(10)]
    olpipe("pull", "seeing")
    assert shop.cuts == []
    assert digests(olpipe) == {"seeing:latest": digest_of(manifest).removeprefix("sha256:")}
    for data in (text, projector):
        assert len(data) <= shop.sent[digest_of(data)] <= len(data) + download.LEAST_PART_BYTES
    olpipe("store", "verify")
    assert unfinished(isolated_home) == []
    assert {path.name for path in (isolated_home / "models" / "blobs").iterdir()} == {
        digest.replace(":", "-") for digest in shop.blobs
    }
