"""Nobody but the page of a review can read or change anything: real requests to a real server."""

import http.client
import json
import socket

import pytest

from tests.reviewing.albums import Reviewing

SECRET = b"nobody may read this"


def raw(reviewing, path, *, method="GET", body=None, **headers):
    """Send a path as it is written, which `urllib` would tidy up; return the status and the bytes."""
    connection = http.client.HTTPConnection("127.0.0.1", reviewing.port, timeout=60)
    connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    found = answer.status, answer.read(), answer.headers
    connection.close()
    return found


@pytest.fixture
def body(served):
    entry = served.entries()["dog.jpg"]
    return {"file": "dog.jpg", "photo": entry["thumbnail"], "corrections": {"title": "Stolen"}}


def unchanged(reviewing):
    return reviewing.entries()["dog.jpg"]["values"]["title"] == "A dog"


# --- the token -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/{wrong}/", "/index_files/photos-0.js", "/review", "/{short}/", "//", "/%00/"])
def test_without_the_token_nothing_is_served(served, path):
    path = path.format(wrong="x" * len(served.token), short=served.token[:-1])
    status, data, _ = raw(served, path)
    assert status == 404
    assert b"cat" not in data


# --- paths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "index_files/../run.json",
        "index_files/../.olpipe/ledger.sqlite",
        "../{token}/../secret.txt",
        "index_files/.thumbnails/../../secret.txt",
        "index_files/.thumbnails/..%2f..%2f/secret.txt",
        "index_files/.thumbnails/%2e%2e/%2e%2e%2fsecret.txt",
        "index_files/.thumbnails/ab/..%5c..%5csecret.txt",
        "photo/../../secret.txt",
        "photo/..%2f..%2fsecret.txt",
        "photo/%2fetc%2fpasswd",
        "photo//etc/passwd",
        "photo/secret.txt",
        "records.jsonl",
        "index.html",
        ".olpipe/ledger.sqlite",
        "index_files/photos-1.js",
        "index_files/photos--1.js",
        "index_files/photos-0.js%00.txt",
    ],
)
def test_nothing_but_the_page_and_its_photos_is_served(served, path):
    for folder in (served.album.output, served.album.output.parent):
        (folder / "secret.txt").write_bytes(SECRET)
    status, data, _ = raw(served, f"/{served.token}/{path.format(token=served.token)}")
    assert status == 404
    assert SECRET not in data and b"SQLite" not in data and b"root:" not in data


def test_photos_are_those_of_the_ledger_as_they_were_described(album):
    with Reviewing(album.output) as reviewing:
        names = {name: entry["href"] for name, entry in reviewing.entries().items()}
        status, headers, data = reviewing.ask(names["cat.jpg"])
        assert (status, headers["Content-Type"]) == (200, "image/jpeg")
        assert data == (album.photos / "cat.jpg").read_bytes()
        path = album.photos / "dog.jpg"
        path.unlink()
        assert reviewing.ask(names["dog.jpg"])[0] == 404
        secret = album.photos.parent / "secret.txt"
        secret.write_bytes(SECRET)
        path.symlink_to(secret)
        assert reviewing.ask(names["dog.jpg"])[0] == 404


# --- other hosts and other pages -----------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "localhost.evil.example:{port}",
     "127.0.0.1:1", "127.0.0.1", "192.168.1.2:{port}", "evil.local:{port}", "", "localhost:{port}@evil.example"],
)  # fmt: skip
def test_a_name_that_leads_here_is_refused(served, body, host):
    host = host.format(port=served.port)
    assert raw(served, f"/{served.token}/", Host=host)[0] == 403
    headers = {"Content_Type": "application/json", "X_Olpipe_Review": served.token}
    status, _, _ = raw(
        served, f"/{served.token}/review", method="POST", body=json.dumps(body).encode(), Host=host, **headers
    )
    assert status == 403
    assert unchanged(served)


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}"])
def test_names_of_this_machine_are_let_in(served, host):
    assert raw(served, f"/{served.token}/", Host=host.format(port=served.port))[0] == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"X_Olpipe_Review": "wrong"}, 403),
        ({"X_Olpipe_Review": "{token}", "Origin": "http://evil.example"}, 403),
        ({"X_Olpipe_Review": "{token}", "Origin": "null"}, 403),
        ({"X_Olpipe_Review": "{token}", "Origin": "http://127.0.0.1:1"}, 403),
        ({"X_Olpipe_Review": "{token}", "Sec_Fetch_Site": "cross-site"}, 403),
        ({"X_Olpipe_Review": "{token}", "Sec_Fetch_Site": "same-site"}, 403),
        ({"X_Olpipe_Review": "{token}", "Content_Type": "text/plain"}, 415),
        ({"X_Olpipe_Review": "{token}", "Content_Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_a_change_that_another_page_could_send_is_refused(served, body, headers, status):
    given = {name: value.format(token=served.token) for name, value in headers.items()}
    assert served.ask("review", body, **given)[0] == status
    assert unchanged(served)


def test_a_change_by_another_method_is_refused(served):
    headers = {"X_Olpipe_Review": served.token, "Content_Type": "application/json"}
    for method in ("PUT", "DELETE", "PATCH"):
        assert raw(served, f"/{served.token}/review", method=method, body=b"{}", **headers)[0] == 405
    assert served.ask("review")[0] == 405


def test_no_other_page_is_told_that_it_may_ask(served):
    asked = {"Origin": "http://evil.example", "Access_Control_Request_Method": "POST"}
    asked["Access_Control_Request_Headers"] = "x-olpipe-review,content-type"
    status, _, headers = raw(served, f"/{served.token}/review", method="OPTIONS", **asked)
    assert status == 403
    assert not [name for name in headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("path", ["", "index_files/photos-0.js", "photo/{photo}", "nothing"])
def test_no_other_page_can_show_or_read_what_is_served(served, path):
    photo = served.entries()["cat.jpg"]["thumbnail"]
    _, headers, _ = served.ask(path.format(photo=photo))
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def test_it_listens_on_this_machine_only(served):
    import psutil

    listening = [
        one.laddr
        for one in psutil.Process(served.process.pid).net_connections("tcp")
        if one.status == psutil.CONN_LISTEN
    ]
    assert [(one.ip, one.port) for one in listening] == [("127.0.0.1", served.port)]


# --- bodies --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"file": "nothing.jpg"}, 404),
        ({"file": "broken.jpg"}, 404),
        ({"photo": "0" * 32}, 404),
        ({"photo": 3}, 404),
        ({"verdict": "perhaps"}, 400),
        ({"corrections": ["title"]}, 400),
        ({"corrections": {"title": 3}}, 400),
        ({"corrections": {"title": "x" * 20_001}}, 400),
        ({"corrections": {"tags": "cat"}}, 400),
        ({"corrections": {"tags": ["cat", 3]}}, 400),
        ({"corrections": {"tags": ["x" * 1001]}}, 400),
        ({"corrections": {"sha256": "0"}}, 400),
        ({"corrections": {"title": "good", "objects": []}}, 400),
    ],
)
def test_a_body_that_is_not_as_it_should_be_changes_nothing(served, body, change, status):
    found, _, data = served.ask("review", {**body, **change}, X_Olpipe_Review=served.token)
    assert found == status
    assert json.loads(data)["error"]
    assert unchanged(served)


@pytest.mark.parametrize(("data", "status"), [(b"", 400), (b"{", 400), (b"[]", 400), (b"x" * (2 << 20), 413)])
def test_a_body_that_is_no_object_is_refused(served, data, status):
    headers = {"Content_Type": "application/json", "X_Olpipe_Review": served.token}
    assert raw(served, f"/{served.token}/review", method="POST", body=data, **headers)[0] == status


def test_what_is_no_http_ends_only_its_own_connection(served):
    with socket.create_connection(("127.0.0.1", served.port), 60) as one:
        one.sendall(b"\x16\x03\x01 nothing that is HTTP\r\n\r\n")
        one.recv(1000)
    assert served.ask("")[0] == 200
