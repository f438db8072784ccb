"""Requests for tokens that are signed with the user's key, as Ollama's registry knows its users.

The stand-in checks signatures itself, with a second implementation of Ed25519.
"""

import base64
import hashlib
import os
import sys
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from olpipe.cli.main import main
from olpipe.default_plugins.sources.registry.options import Options
from olpipe.default_plugins.sources.registry.signing import MOST_BYTES, NoKey, signature
from olpipe.default_plugins.sources.registry.source import RegistrySource
from olpipe.default_plugins.sources.transfer.options import Patience
from olpipe.errors import PullFailed
from olpipe.model import ModelName
from olpipe.store.library import Library
from olpipe.testing.models import write_tiny_gguf
from tests.default_plugins.ed25519 import verifies
from tests.store.registry_server import RegistryServer

CERTIFICATE = Path(__file__).parents[1] / "server" / "certificate.pem"
MINE = ModelName.parse("mine")
QUICK = Patience(connect_s=5, stall_s=5, answer_s=5, attempts=2, first_wait_s=0.01, longest_wait_s=0.02)
EMPTY_BODY = base64.b64encode(hashlib.sha256(b"").hexdigest().encode()).decode()
HEADER = b"\0\0\0\x0bssh-ed25519\0\0\0\x20"
needs_owners = pytest.mark.skipif(sys.platform == "win32", reason="files have no such permissions on Windows")


def opened(private):
    """Return a key as the bytes of a file of OpenSSH."""
    form = serialization.PrivateFormat.OpenSSH
    return private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def string(data):
    return len(data).to_bytes(4, "big") + data


def locked():
    """Return a file of OpenSSH as a key with a passphrase has it."""
    options = string(b"sixteen bytes...") + (16).to_bytes(4, "big")
    parts = [string(b"aes256-ctr"), string(b"bcrypt"), string(options), (1).to_bytes(4, "big")]
    parts += [string(HEADER + bytes(32)), string(bytes(160))]
    text = base64.b64encode(b"".join([b"openssh-key-v1\0", *parts]))
    return b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + text + b"\n-----END OPENSSH PRIVATE KEY-----\n"


@pytest.fixture
def key(tmp_path):
    """Return the file of a fresh key, which nobody else may read."""
    path = tmp_path / "id_ed25519"
    path.touch(0o600)
    path.write_bytes(opened(ed25519.Ed25519PrivateKey.generate()))
    return path


def public_of(path):
    private = serialization.load_ssh_private_key(path.read_bytes(), password=None)
    return private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


class KnowingServer(RegistryServer):
    """A registry that gives tokens only to users whose keys it knows, as Ollama's does.

    Attributes:
        known: Public keys.
        nonces: The texts that must never come twice.
    """

    def __init__(self):
        super().__init__()
        self.needs_token = True
        self.known = set()
        self.nonces = set()
        self.answers["/token"] = self._give

    def _give(self, handler):
        handler.answer(*((200, b'{"token": "good-token"}') if self._is_known(handler) else (401,)))

    def _is_known(self, handler):
        public, colon, signed = handler.headers.get("Authorization", "").partition(":")
        if not colon:
            return False
        blob = base64.b64decode(public, validate=True)
        text = f"GET,{self.url}{handler.path},{EMPTY_BODY}".encode()
        query = parse_qs(urlsplit(handler.path).query)
        (nonce,) = query["nonce"]
        is_fresh = len(nonce) >= 22 and query["ts"][0].isdecimal() and nonce not in self.nonces
        self.nonces.add(nonce)
        is_sound = blob.startswith(HEADER) and verifies(blob[len(HEADER) :], base64.b64decode(signed), text)
        return is_fresh and is_sound and blob[len(HEADER) :] in self.known


@pytest.fixture
def server():
    with KnowingServer() as server:
        server.put("library/mine", [server.layer(b"weights", name="weights.bin")], config={"model_format": "raw"})
        yield server


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


def pull(server, library, *, reference="http://registry.ollama.ai/library/mine", **options):
    found = Options(registry=server.url, patience=QUICK, **options)
    RegistrySource(lambda: found).pull(reference, MINE, library, lambda step: None)


def signatures(server):
    """Return what a server got to see that may be a signature."""
    sent = [headers.get("authorization", "") for _, _, headers in server.asked]
    return [one for one in sent if one.partition(" ")[0] not in ("", "Bearer")]


def test_a_registry_that_knows_the_key_gives_a_token(server, library, key):
    server.known = {public_of(key)}
    pull(server, library, key=key)
    assert library.names() == [MINE]
    assert len(signatures(server)) == 1


def test_the_second_implementation_takes_the_examples_of_the_standard_and_nothing_else():
    public = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signed = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert verifies(public, signed, b"\x72")
    assert not verifies(public, signed, b"\x73")
    assert not verifies(public, bytes(64), b"\x72")


def test_the_query_is_written_in_the_order_of_its_names_and_keeps_what_the_realm_has(server, library, key):
    server.known = {public_of(key)}
    server.challenge = f'Bearer realm="{server.url}/token?kind=a%2Fb",service="models"'
    pull(server, library, key=key)
    (path,) = [path for path in server.paths() if path.startswith("/token")]
    query = urlsplit(path).query
    assert query == urlencode(parse_qsl(query))
    assert [name for name, _ in parse_qsl(query)] == ["kind", "nonce", "scope", "service", "ts"]
    assert dict(parse_qsl(query))["scope"] == "repository:library/mine:pull"


def test_no_two_requests_are_the_same(server, tmp_path, key):
    server.known = {public_of(key)}
    for folder in ("one", "two"):
        pull(server, Library(tmp_path / folder, cache=tmp_path / "cache"), key=key)
    assert len(server.nonces) == 2


def test_a_key_that_the_registry_does_not_know_is_told(server, library, key):
    with pytest.raises(PullFailed, match="gives no access without a user name, or has no such model") as caught:
        pull(server, library, key=key)
    assert f"does not know your key yet: `{key}.pub`" in caught.value.hint
    assert key.read_text().split("\n")[1] not in str(caught.value.hint)


# --- who never gets a signature -------------------------------------------------------------------


def test_nobody_but_the_registry_gets_a_signature_though_the_settings_trust_the_host_with_tokens(
    server, library, key, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with RegistryServer(certificate=CERTIFICATE) as other:
        server.challenge = f'Bearer realm="{other.url}/token"'
        with pytest.raises(PullFailed, match="names another host for tokens"):
            pull(server, library, key=key)
        assert other.asked == []
        pull(server, library, key=key, token_hosts=(other.host,))
        assert [path.partition("?")[0] for path in other.paths()] == ["/token"]
        assert signatures(other) == signatures(server) == []


def test_a_host_that_the_registry_leads_to_for_a_token_gets_no_signature(server, library, key):
    with KnowingServer() as other:
        server.answers["/token"] = lambda handler: handler.answer(307, Location=f"{other.url}/token")
        with pytest.raises(PullFailed, match="it answered with the status 307"):
            pull(server, library, key=key)
        assert other.asked == []


def test_another_registry_than_the_default_one_gets_no_signature(server, library, key):
    server.known = {public_of(key)}
    with pytest.raises(PullFailed, match="gives no access"):
        pull(server, library, key=key, reference=f"http://{server.host}/library/mine")
    assert signatures(server) == []


def test_nothing_is_signed_over_plain_http_unless_that_is_allowed(server, library, key):
    server.known = {public_of(key)}
    with pytest.raises(PullFailed, match="everybody on the way could read it"):
        pull(server, library, key=key, reference="mine")
    assert signatures(server) == []


def test_a_registry_that_demands_nothing_gets_no_signature(server, library, key):
    server.needs_token = False
    pull(server, library, key=key)
    assert signatures(server) == []


# --- keys that are not used -----------------------------------------------------------------------


def refused(path):
    with pytest.raises(NoKey) as caught:
        signature(path, "GET", "https://registry.example/token")
    return caught.value.hint


def test_no_key_is_made(tmp_path):
    assert "there is no key" in refused(tmp_path / "nowhere" / "id_ed25519")
    assert list(tmp_path.iterdir()) == []


@needs_owners
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_key_that_others_may_read_or_change_is_not_used(key, mode):
    key.chmod(mode)
    assert refused(key).endswith(f"run `chmod 600 {key}`")


@needs_owners
def test_a_link_to_a_key_is_not_followed(key, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(key)
    assert "is a link" in refused(link)


@needs_owners
def test_a_pipe_in_place_of_a_key_keeps_nobody_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert refused(tmp_path / "pipe").endswith("is no file with a key")


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b"", "is no key in the form of OpenSSH"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", "is no key in the form"),
        (opened(ec.generate_private_key(ec.SECP256R1())), "is a key of another kind"),
        (locked(), "has a passphrase"),
        (b"#" * (MOST_BYTES + 1), "is no file with a key"),
    ],
    ids=["empty", "damaged", "another kind", "passphrase", "too large"],
)
def test_what_is_no_key_for_this_is_told_in_one_line(key, data, hint):
    key.write_bytes(data)
    assert hint in refused(key)


def test_where_the_extra_is_missing_the_hint_says_how_to_install_it(server, library, key, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(PullFailed) as caught:
        pull(server, library, key=key)
    assert caught.value.hint == f"to sign with the key `{key}`, run `pip install 'olpipe[sign]'`"


def test_a_key_that_is_not_used_does_not_stop_a_registry_that_gives_tokens_to_anybody(server, library, tmp_path):
    del server.answers["/token"]
    pull(server, library, key=tmp_path / "nowhere")
    assert library.names() == [MINE]


# --- on the command line --------------------------------------------------------------------------


def test_a_model_is_pushed_and_pulled_with_the_key_of_ollamas_place(server, key, tmp_path, monkeypatch, capsys):
    home = tmp_path / "user"
    (home / ".ollama").mkdir(parents=True)
    key.rename(home / ".ollama" / "id_ed25519")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.delenv("OLPIPE_REGISTRY_KEY")
    monkeypatch.setenv("OLPIPE_REGISTRY", server.url)
    server.known = {public_of(home / ".ollama" / "id_ed25519")}
    weights = write_tiny_gguf(tmp_path / "tiny.gguf")

    def olpipe(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(list(map(str, arguments)))
        assert ended.value.code == 0, capsys.readouterr().err

    olpipe("pull", f"file:{weights}", "--name", "me/tiny")
    olpipe("push", "me/tiny", "--insecure")
    olpipe("rm", "me/tiny")
    olpipe("pull", "me/tiny", "--insecure")
    assert ("me/tiny", "latest") in server.manifests
    assert len(signatures(server)) == 2
