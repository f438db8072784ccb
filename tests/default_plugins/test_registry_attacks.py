"""What a hostile registry may try. Each test fails without the defence that it names."""

import base64
import json
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe.default_plugins.sources.registry.challenge import Challenge
from olpipe.default_plugins.sources.registry.options import Options
from olpipe.default_plugins.sources.registry.source import RegistrySource
from olpipe.default_plugins.sources.transfer.connections import next_url
from olpipe.default_plugins.sources.transfer.options import Patience
from olpipe.default_plugins.sources.transfer.trouble import Trouble
from olpipe.errors import ModelCorrupt, PullFailed
from olpipe.model import ModelName
from olpipe.store.library import Library
from tests.store.registry_server import TITLE, RegistryServer, digest_of

CERTIFICATE = Path(__file__).parents[1] / "server" / "certificate.pem"
MINE = ModelName.parse("mine")
QUICK = Patience(connect_s=5, stall_s=5, answer_s=5, attempts=2, first_wait_s=0.01, longest_wait_s=0.02)
RAW = {"model_format": "raw"}
DATA = bytes(range(256)) * 4000
LOGIN = "me:s3cret"


@pytest.fixture
def server():
    with RegistryServer() as server:
        server.put("library/mine", [server.layer(DATA, name="weights.bin")], config=RAW)
        yield server


@pytest.fixture
def other(server):
    """Another server, which is not the registry and has the same blobs."""
    with RegistryServer() as other:
        other.blobs = server.blobs
        yield other


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


@pytest.fixture
def logins(tmp_path):
    """Return a function that writes Docker's file of passwords, and returns its folder."""

    def write(*hosts):
        auth = base64.b64encode(LOGIN.encode()).decode()
        (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth} for host in hosts}}))
        return tmp_path

    return write


def pull(server, library, *, insecure=False, patience=QUICK, **options):
    found = Options(registry=server.url, patience=patience, **options)
    reference = "http://registry.ollama.ai/library/mine" if insecure else "mine"
    RegistrySource(lambda: found).pull(reference, MINE, library, lambda step: None)


def refused(server, library, kind=PullFailed, **options):
    with pytest.raises(kind) as caught:
        pull(server, library, **options)
    assert library.names() == []
    return caught.value


def secrets(server):
    """Return what a server got to see of passwords and tokens."""
    return [headers["authorization"] for _, _, headers in server.asked if "authorization" in headers]


# --- names and digests that lead out of the store ------------------------------------------------


@pytest.mark.parametrize(
    "digest",
    ["../../../etc/passwd", "sha256:../../../../etc/passwd", f"sha256:{'0' * 63}/", "sha256-" + "z" * 64, "", "md5:00"],
)
@pytest.mark.parametrize("place", ["config", "layer"])
def test_a_digest_that_is_a_path_names_no_blob(server, library, digest, place):
    manifest = json.loads(server.manifests["library/mine", "latest"][0])
    (manifest["config"] if place == "config" else manifest["layers"][0])["digest"] = digest
    server.manifests["library/mine", "latest"] = (json.dumps(manifest).encode(), "application/json")
    assert "is not a digest" in refused(server, library, ModelCorrupt).message
    assert [path for path in server.paths() if "/blobs/" in path] == []


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/../../x", "C:\\x", "a\\b", "con", "x\0", "a//b", ".", "x.", "nul.txt"]
)
@pytest.mark.parametrize("key", ["name", "title"])
def test_a_file_name_that_leads_out_of_the_folder_is_refused(server, library, name, key):
    more = {"name": name} if key == "name" else {"annotations": {TITLE: name}}
    server.put("library/mine", [server.layer(DATA, **more)], config=RAW)
    assert "cannot be a file's path" in refused(server, library, ModelCorrupt).message
    assert server.sent[digest_of(DATA)] == 0


def test_names_that_differ_only_in_case_are_refused(server, library):
    layers = [server.layer(DATA, name="Weights.bin"), server.layer(b"x", name="weights.BIN")]
    server.put("library/mine", layers, config=RAW)
    assert "two files are called" in refused(server, library, ModelCorrupt).message


# --- passwords and tokens ------------------------------------------------------------------------


def test_a_token_is_fetched_with_the_password_and_sent_to_the_registry_only(server, other, library, logins):
    server.user, server.needs_token, server.storage = LOGIN, True, other.url
    pull(server, library, insecure=True, docker_config=logins(server.host))
    basic = f"Basic {base64.b64encode(LOGIN.encode()).decode()}"
    assert {value.partition(" ")[0] for value in secrets(server)} == {"Basic", "Bearer"}
    asked = {path.partition("?")[0] for _, path, headers in server.asked if headers.get("authorization") == basic}
    assert asked == {"/token"}
    (query,) = {path.partition("?")[2] for path in server.paths() if path.startswith("/token")}
    assert httpx.QueryParams(query) == httpx.QueryParams(
        {"scope": "repository:library/mine:pull", "service": "a, realm=b"}
    )
    assert other.asked
    assert secrets(other) == []


def test_a_token_is_had_without_a_password_where_the_registry_gives_it(server, library):
    server.needs_token = True
    pull(server, library, insecure=True)
    assert set(secrets(server)) == {"Bearer good-token"}


def test_a_password_is_sent_itself_where_the_registry_wants_it_so(server, library, logins):
    server.user, server.wants_basic = LOGIN, True
    error = refused(server, library, insecure=True)
    assert "without a user name" in error.message and f"docker login {server.host}" in error.hint
    pull(server, library, insecure=True, docker_config=logins(server.host))
    assert set(secrets(server)) == {f"Basic {base64.b64encode(LOGIN.encode()).decode()}"}


@pytest.mark.parametrize("wants_basic", [False, True])
def test_a_password_for_another_registry_is_not_sent(server, library, logins, wants_basic):
    server.user, server.needs_token, server.wants_basic = LOGIN, True, wants_basic
    refused(server, library, insecure=True, docker_config=logins("other.example", f"{server.host}0"))
    assert secrets(server) == []


@pytest.mark.parametrize("wants_basic", [False, True])
def test_neither_a_password_nor_a_token_is_sent_over_plain_http_unless_that_is_allowed(
    server, library, logins, wants_basic
):
    server.user, server.needs_token, server.wants_basic = LOGIN, True, wants_basic
    error = refused(server, library, docker_config=logins(server.host))
    assert "over plain HTTP" in error.message and "--insecure" in error.hint
    assert secrets(server) == []


def test_no_token_is_fetched_from_a_host_that_only_the_registry_names(server, other, library, logins):
    server.needs_token = True
    server.challenge = f'Bearer realm="{other.url}/token"'
    error = refused(server, library, insecure=True, docker_config=logins(server.host, other.host))
    assert error.message.startswith(f"`{server.host}` names another host for tokens, `{other.host}`")
    assert error.hint == f"if you trust that host, set OLPIPE_TOKEN_HOSTS={other.host}"
    assert other.asked == []
    # Over plain HTTP, no other host gives tokens, whatever the settings say
    refused(server, library, insecure=True, token_hosts=(other.host,))
    assert other.asked == []


def test_a_token_may_come_from_another_host_that_the_settings_name(server, library, logins, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    server.needs_token = True
    with RegistryServer(certificate=CERTIFICATE) as giver:
        giver.user = LOGIN
        server.challenge = f'Bearer realm="{giver.url}/token"'
        pull(server, library, insecure=True, docker_config=logins(server.host), token_hosts=(giver.host,))
        assert len(giver.asked) == 1


def test_a_token_is_not_fetched_behind_a_redirect(server, other, library, logins):
    server.needs_token = True
    server.answers["/token"] = lambda handler: handler.answer(307, Location=f"{other.url}/token")
    refused(server, library, insecure=True, docker_config=logins(server.host))
    assert other.asked == []


@pytest.mark.parametrize(
    "challenge",
    [
        'Bearer realm="{own}/token",realm="{other}/token"',
        'Bearer realm="{other}/token",REALM="{own}/token"',
        'Bearer realm="{other}/token, realm={own}/token"',
        'Bearer service="x,realm={own}/token",realm="{other}/token"',
        'Bearer realm="http://{ownhost}@{otherhost}/token"',
        'Bearer realm="http://me:password@{ownhost}/token"',
        'Bearer realm="{other}/token" service="x"',
        'Bearer realm="{own}/token',
        "Bearer realm={own}/token",
        'Bearer realm="{own}/token",',
        'Bearer realm="{own}/token",,service="x"',
        'Bearer realm="file:///etc/passwd"',
        "Bearer",
        "",
        "Negotiate",
    ],
)
def test_a_challenge_that_means_one_thing_to_one_reader_and_another_to_another_is_refused(
    server, other, library, logins, challenge
):
    server.needs_token = True
    server.challenge = challenge.format(own=server.url, other=other.url, ownhost=server.host, otherhost=other.host)
    refused(server, library, insecure=True, docker_config=logins(server.host))
    assert other.asked == []
    assert secrets(server) == []


@given(st.text(max_size=200))
def test_a_challenge_is_read_or_refused(text):
    try:
        read = Challenge.parse(text)
    except ValueError:
        return
    assert read.scheme == read.scheme.lower() != ""


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(st.characters(min_codepoint=32, max_codepoint=126))
    )
)
def test_a_challenge_that_is_written_right_is_read_right(parameters):
    quoted = (name + '="' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for name, value in parameters.items())
    assert Challenge.parse(f"Bearer {', '.join(quoted)}".strip()) == Challenge("bearer", parameters)


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"null", b'{"token": 1}', b'{"token": "a\\r\\nX: y"}', b'{"token": ""}', b"[" * 9999]
)
def test_a_token_that_cannot_be_sent_is_refused(server, library, answer):
    server.needs_token = True
    server.answers["/token"] = lambda handler: handler.answer(200, answer)
    assert "gives no token" in refused(server, library, insecure=True).message


# --- redirects -----------------------------------------------------------------------------------


def test_a_registry_of_the_internet_cannot_lead_into_a_private_network(server, library):
    # 127.0.0.1 stands for the internet, and 127.0.0.2 for a private network
    def is_public(address):
        return address == ip_address("127.0.0.1")

    with RegistryServer(host="127.0.0.2") as inside:
        inside.blobs = server.blobs
        server.storage = inside.url
        error = refused(server, library, is_public=is_public)
        assert error.message == f"`{inside.host}` has the address 127.0.0.2, which a source of models must not lead to"
        # By a name that resolves to that address, too
        server.storage = inside.url.replace("127.0.0.2", "storage.example")
        addresses = {"storage.example": "127.0.0.2", "127.0.0.1": "127.0.0.1"}
        refused(server, library, is_public=is_public, resolve=lambda host, port: [addresses[host]])
        assert inside.asked == []
        # A registry that is inside itself may
        pull(server, library, resolve=lambda host, port: [addresses[host]])


def test_an_address_is_looked_up_once_so_that_another_answer_changes_nothing(server, library):
    asked = []

    def resolve(host, port):
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.9"]

    pull(server, library, resolve=resolve)
    assert asked == ["127.0.0.1"]


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "224.0.0.1", "0.0.0.0"])
def test_no_registry_leads_to_an_address_where_no_registry_can_be(server, library, address):
    server.storage = "http://storage.example"
    addresses = {"storage.example": address, "127.0.0.1": "127.0.0.1"}
    error = refused(server, library, resolve=lambda host, port: [addresses[host]])
    assert f"has the address {address}, which a source of models must not lead to" in error.message


def test_https_is_not_left_for_http(server, library, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with RegistryServer(certificate=CERTIFICATE) as secure:
        secure.put("library/mine", [secure.layer(DATA, name="weights.bin")], config=RAW)
        secure.storage = server.url
        assert "leads from https to http" in refused(secure, library).message
        assert server.asked == []
        secure.storage = ""
        pull(secure, library)


def test_a_certificate_that_nobody_vouches_for_is_refused(library):
    with RegistryServer(certificate=CERTIFICATE) as secure:
        assert "cannot prove who it is" in refused(secure, library).message


def test_a_redirect_that_goes_round_ends(server, library):
    server.answers["/v2/library/mine/blobs"] = lambda handler: handler.answer(302, Location=handler.path)
    assert "redirects more than" in refused(server, library).message
    assert len(server.asked) < 12


@pytest.mark.parametrize(
    "location",
    ["ftp://x.example/", "file:///etc/passwd", "http://u:p@x.example/", "http://x:99999/", "http://x" * 2000],
)
def test_a_redirect_to_what_is_no_plain_url_is_refused(location):
    with pytest.raises(Trouble):
        next_url(httpx.URL("http://r.example/v2/"), location)


@pytest.mark.parametrize(
    ("url", "location", "target"),
    [
        ("http://r.example/v2/x", "/y?z=1", "http://r.example/y?z=1"),
        ("http://r.example/v2/x", "//s.example/y", "http://s.example/y"),
        ("http://r.example/v2/x", "https://s.example/y", "https://s.example/y"),
    ],
)
def test_other_redirects_are_followed(url, location, target):
    assert str(next_url(httpx.URL(url), location)) == target
