"""Files that clients send to make models of."""

import hashlib
import http.client
from contextlib import closing

import ollama
import pytest

DATA = b"some bytes of a file" * 1000


def digest_of(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def send_chunks(workshop, data, chunks):
    """Send a file without saying its length; return the status of the answer."""
    with closing(http.client.HTTPConnection("127.0.0.1", workshop.port)) as connection:
        headers = {"Transfer-Encoding": "chunked"}
        connection.request("POST", f"/api/blobs/{digest_of(data)}", iter(chunks), headers, encode_chunked=True)
        with connection.getresponse() as reply:
            return reply.status


def left_over(workshop):
    return [path.name for path in (workshop.home / "models" / "incoming").glob("blob-*")]


def test_a_file_is_sent_once_and_known_from_then_on(workshop):
    data = b"once" + DATA
    path = f"/api/blobs/{digest_of(data)}"
    assert workshop.call("HEAD", path, None) == (404, "")
    assert workshop.post(path, data) == (201, "")
    assert workshop.call("HEAD", path, None) == (200, "")
    assert workshop.post(path, data) == (200, "")
    stored = workshop.home / "models" / "blobs" / digest_of(data).replace(":", "-")
    assert stored.read_bytes() == data


def test_ollamas_client_sends_a_file(workshop, tmp_path):
    (tmp_path / "weights").write_bytes(b"client" + DATA)
    with closing(ollama.Client(workshop.url)) as client:
        digest = client.create_blob(tmp_path / "weights")
    assert workshop.call("HEAD", f"/api/blobs/{digest}", None) == (200, "")


def test_a_digest_is_found_in_either_spelling(workshop):
    data = b"spelling" + DATA
    workshop.post(f"/api/blobs/{digest_of(data)}", data)
    spelt = digest_of(data).replace(":", "-").upper().replace("SHA", "sha")
    assert workshop.call("HEAD", f"/api/blobs/{spelt}", None) == (200, "")


def test_a_file_that_comes_in_chunks_without_a_length_is_taken(workshop):
    data = b"chunks" + DATA
    assert send_chunks(workshop, data, [data[:7], data[7:9000], data[9000:]]) == 201


def test_other_bytes_than_the_digest_says_are_refused_and_not_kept(workshop):
    wrong = digest_of(b"other")
    status, answer = workshop.post(f"/api/blobs/{wrong}", DATA)
    assert status == 400
    assert answer["error"] == f'digest mismatch, expected "{wrong}", got "{digest_of(DATA)}"'
    for digest in (wrong, digest_of(DATA)):
        assert workshop.call("HEAD", f"/api/blobs/{digest}", None) == (404, "")
    assert left_over(workshop) == []


def test_a_file_that_breaks_off_is_not_kept(workshop):
    connection = http.client.HTTPConnection("127.0.0.1", workshop.port)
    connection.putrequest("POST", f"/api/blobs/{digest_of(b'whole')}")
    connection.putheader("Content-Length", "5")
    connection.endheaders(b"who")
    connection.close()
    assert workshop.call("HEAD", f"/api/blobs/{digest_of(b'whole')}", None) == (404, "")
    assert workshop.get("/api/version")[0] == 200


@pytest.mark.parametrize(
    "digest",
    ["sha256:12", "sha256:" + "g" * 64, "md5:" + "0" * 64, "sha256:" + "0" * 65, "..", "sha256:" + "0" * 63 + "%0a"],
)
@pytest.mark.parametrize("method", ["HEAD", "POST"])
def test_what_is_no_digest_is_refused(workshop, method, digest):
    status, answer = workshop.call(method, f"/api/blobs/{digest}", b"x" if method == "POST" else None)
    if digest == "..":
        assert status in (400, 404)
    else:
        assert status == 400
        assert method == "HEAD" or answer["error"] == "invalid digest format"


@pytest.mark.parametrize("path", ["..%2f..%2fmanifests", "%2e%2e/%2e%2e/etc/passwd", "sha256-/../../x"])
def test_no_path_leads_out_of_the_blobs(workshop, path):
    assert workshop.post(f"/api/blobs/{path}", b"x")[0] in (400, 404, 405)


def test_a_file_larger_than_allowed_is_refused(workshop):
    data = bytes((8 << 20) + 1)  # the server's limit is 8 MiB
    status, answer = workshop.post(f"/api/blobs/{digest_of(data)}", data)
    assert (status, answer["error"]) == (413, f"the file has more than {8 << 20} bytes")
    assert "OLPIPE_MAX_BLOB" in answer["hint"]


def test_a_file_larger_than_allowed_is_refused_where_its_length_is_not_said(workshop):
    data = bytes((8 << 20) + 1)
    assert send_chunks(workshop, data, [data]) == 413
    assert workshop.call("HEAD", f"/api/blobs/{digest_of(data)}", None) == (404, "")
    assert left_over(workshop) == []
