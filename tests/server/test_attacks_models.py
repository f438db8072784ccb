"""Attacks by way of models: what is sent, made, pulled, pushed and named must not lead out of the store."""

import hashlib
import json
import struct
from urllib.parse import quote

import pytest

from olpipe.testing.models import write_tiny_gguf

PATHS = ["/etc/passwd", "/etc/no-such-file", "/dev/random", "../../../../etc/passwd", "file:/etc/passwd", "./tiny.gguf"]
NAMES = ["../x", "a/../../x", "/etc/x", "..", ".", "a/b/c/d/e", "x:..", "x\0y", "x" * 500, "\u202egolp", "con:/x"]


@pytest.fixture(autouse=True)
def nothing_outside_the_store(workshop):
    """No attack writes beside the store's own folders, and no answer or log tells of a file of the server."""
    before = everything(workshop)
    yield
    assert everything(workshop) - before <= {"cache", "models"}
    assert "root:x:" not in workshop.log.read_text()
    assert workshop.get("/api/tags")[0] == 200


def everything(workshop):
    return {path.name for path in workshop.home.iterdir()}


def sent(workshop, data):
    """Send a file to the server and return its digest."""
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert workshop.post(f"/api/blobs/{digest}", data)[0] in (200, 201)
    return digest


def made_of(workshop, body):
    """Try to make a model, and return the status and the answer."""
    return workshop.post("/api/create", {"stream": False, **body})


def told(answer):
    return json.dumps(answer)


# --- paths ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["HEAD", "POST"])
@pytest.mark.parametrize(
    "digest",
    [
        *("sha256:../../../../etc/passwd", "sha256-..%2f..%2f..%2fetc%2fpasswd", "%2e%2e%2fmanifests", "..", "sha256:"),
        *("sha256:" + "0" * 63, "sha256:" + "g" * 64, "sha256:" + "0" * 65, "sha512:" + "0" * 64, "\u0660" * 64),
        *("sha256:" + "0" * 64 + "%00", "sha256:" + "0" * 62 + "%2f."),
    ],
)  # fmt: skip
def test_a_digest_cannot_be_a_path(workshop, method, digest):
    status, _ = workshop.call(method, f"/api/blobs/{quote(digest, safe='%:')}", b"data" if method == "POST" else None)
    assert status in (400, 404)


@pytest.mark.parametrize("path", ["/api/create", "/api/pull", "/api/push", "/api/show"])
def test_whether_a_file_is_on_the_server_cannot_be_found_out(workshop, path):
    """Ollama's answers once differed for paths that are there and paths that are not."""

    def ask(name):
        body = {"model": "x" if path == "/api/create" else name, "from": name, "stream": False}
        status, answer = workshop.post(path, body)
        return status, told(answer).replace(name, "NAME")

    assert ask("/etc/passwd") == ask("/etc/no-such-file")
    assert ask("../../etc/passwd") == ask("../../etc/no-such-file")


@pytest.mark.parametrize("name", PATHS)
def test_no_model_is_made_or_pulled_from_a_path_of_the_server(workshop, name):
    for path, body in (("/api/create", {"model": "stolen", "from": name}), ("/api/pull", {"model": name})):
        status, answer = workshop.post(path, {"stream": False, **body})
        assert 400 <= status < 600, answer
        assert "root:x:" not in told(answer)
    assert workshop.post("/api/show", {"model": "stolen"})[0] == 404


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("path", ["/api/show", "/api/pull", "/api/push", "/api/delete", "/api/copy", "/api/create"])
def test_a_name_cannot_be_a_path(workshop, path, name):
    body = {"model": name, "source": "tiny", "destination": name, "from": "tiny", "stream": False}
    status, answer = workshop.call("DELETE" if path == "/api/delete" else "POST", path, body)
    assert 400 <= status < 500, answer


@pytest.mark.parametrize(
    "name", ["../x.gguf", "/etc/x.gguf", "a/../../x.gguf", "C:\\x.gguf", "..\\x.gguf", "x\0.gguf", ".", "", "a" * 5000]
)
def test_a_file_of_a_new_model_stays_in_its_folder(workshop, tmp_path, name):
    digest = sent(workshop, write_tiny_gguf(tmp_path / "tiny.gguf").read_bytes())
    status, answer = made_of(workshop, {"model": "slipped", "files": {name: digest}})
    assert 400 <= status < 500, answer


@pytest.mark.parametrize("digest", ["../../etc/passwd", "sha256:" + "0" * 64, "", 3, None, "sha256:../../tiny"])
def test_a_file_of_a_new_model_is_one_that_was_sent(workshop, digest):
    status, answer = made_of(workshop, {"model": "ghost", "files": {"x.gguf": digest}})
    assert 400 <= status < 500, answer


# --- files ----------------------------------------------------------------------------------------


def gguf(*, tensors=0, pairs=0, version=3, rest=b""):
    return b"GGUF" + struct.pack("<IQQ", version, tensors, pairs) + rest


def text(value, length=None):
    data = value.encode()
    return struct.pack("<Q", len(data) if length is None else length) + data


ALIGNMENT = text("general.alignment") + struct.pack("<II", 4, 0)
NO_BLOCKS = text("general.architecture") + struct.pack("<I", 8) + text("llama")
NO_BLOCKS += text("llama.block_count") + struct.pack("<II", 4, 0)

BAD_FILES = {
    "four bytes": b"GGUF",
    "nothing": b"",
    "no file of weights": b"MZ" + b"\0" * 500,
    "a zip with a way out": b"PK\x03\x04" + b"\0" * 22 + struct.pack("<HH", 12, 0) + b"../../x.gguf",
    "a pickle": b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x94\x85\x94R\x94.",
    "more tensors than bytes": gguf(tensors=(1 << 63) - 1),
    "more pairs than bytes": gguf(pairs=1 << 62),
    "a text without end": gguf(pairs=1, rest=text("x", (1 << 64) - 1)),
    "a list without end": gguf(pairs=1, rest=text("x") + struct.pack("<IIQ", 9, 4, 1 << 60)),
    "lists within lists": gguf(pairs=1, rest=text("x") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 5000),
    "an alignment of nothing": gguf(pairs=1, rest=ALIGNMENT),
    "a model without blocks": gguf(pairs=2, rest=NO_BLOCKS),
    "a tensor beyond the file": gguf(
        tensors=1, rest=text("token_embd.weight") + struct.pack("<IQQIQ", 2, 1 << 40, 1 << 20, 0, 1 << 50)
    ),
    "a tensor of many dimensions": gguf(tensors=1, rest=text("t") + struct.pack("<I", 1 << 30)),
    "another version": gguf(version=999),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_damaged_file_is_refused_and_no_model_is_made(workshop, name):
    digest = sent(workshop, BAD_FILES[name])
    status, answer = made_of(workshop, {"model": "broken", "files": {"broken.gguf": digest}})
    assert 400 <= status < 500, answer
    assert str(workshop.home) not in told(answer)
    assert workshop.post("/api/show", {"model": "broken"})[0] == 404


@pytest.mark.parametrize(
    "files",
    [
        {"config.json": b"[" * 100_000},
        {"config.json": b'{"architectures": ["../../x"], "auto_map": {"AutoModel": "evil.Evil"}}', "evil.py": b"1/0"},
        {"model.safetensors": struct.pack("<Q", 1 << 60) + b"{}"},
        {"model.safetensors": struct.pack("<Q", 2) + b"[]", "config.json": b"{}"},
        {"genai_config.json": b'{"model": {"decoder": {"filename": "../../../etc/passwd"}}}'},
        {"genai_config.json": b'{"model": {"decoder": {"session_options": {"custom_ops_library": "/tmp/x.so"}}}}'},
    ],
    ids=lambda files: " ".join(files),
)
def test_a_damaged_folder_is_refused_and_no_model_is_made(workshop, files):
    digests = {name: sent(workshop, data) for name, data in files.items()}
    status, answer = made_of(workshop, {"model": "broken", "files": digests})
    assert 400 <= status < 500, answer
    assert workshop.post("/api/show", {"model": "broken"})[0] == 404


# --- texts of models ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"parameters": {"temperature": "hot"}},
        {"parameters": {"stop": [1]}},
        {"parameters": {"num_ctx": -5}},
        {"parameters": []},
        {"template": 3},
        {"system": ["a"]},
        {"license": {"a": 1}},
        {"messages": [{"role": 3}]},
        {"messages": "no"},
        {"quantize": "../../x"},
        {"adapters": {"../x": "sha256:0"}},
    ],
    ids=str,
)
def test_a_text_of_a_new_model_has_its_type(workshop, fields):
    status, answer = made_of(workshop, {"model": "odd", "from": "tiny", **fields})
    assert 400 <= status < 500, answer


def test_a_template_that_looks_out_is_refused_when_its_model_is_asked(workshop):
    template = "{{ messages.__class__.__mro__[1].__subclasses__() }}"
    made_of(workshop, {"model": "nosy", "from": "tiny", "template": template})
    status, answer = workshop.post("/api/generate", {"model": "nosy", "prompt": "hi", "stream": False})
    assert 400 <= status < 500
    assert "subprocess" not in told(answer)
    workshop.call("DELETE", "/api/delete", {"model": "nosy"})


def test_what_a_model_shows_names_no_folder_of_the_server(workshop):
    for verbose in (False, True):
        _, shown = workshop.post("/api/show", {"model": "tiny", "verbose": verbose})
        assert str(workshop.home) not in told(shown)


# --- other machines -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("127.0.0.1:9/library/x", "localhost:11434/x/y", "http://127.0.0.1:9/x/y", "http://[::1]:9/x/y"),
        *("169.254.169.254/latest/meta-data", "http://169.254.169.254/a/b", "0.0.0.0:9/a/b", "https://10.0.0.1/a/b"),
        "gopher://127.0.0.1:9/a/b",
    ],
)
def test_the_server_asks_no_machine_that_a_client_names(workshop, name):
    """Nothing listens there. A server that asked would say that nobody answers."""
    for path in ("/api/pull", "/api/push", "/api/create"):
        status, answer = workshop.post(path, {"model": name, "from": name, "stream": False})
        assert 400 <= status < 600
        assert "refused" not in told(answer).lower().replace("is refused", "")
        assert "timed out" not in told(answer).lower()


def test_a_request_leads_to_no_page_elsewhere(workshop):
    """`/api/tags/` leads to `/api/tags`, on the same server only."""
    status, answer = workshop.call("GET", "//evil.com/%2e%2e", None)
    assert status == 404, answer
