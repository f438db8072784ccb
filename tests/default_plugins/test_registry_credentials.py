"""Passwords out of Docker's file, and proxies out of the environment."""

import base64
import json

import pytest

from olpipe.default_plugins.sources.registry.credentials import MOST_BYTES, basic_credentials
from olpipe.default_plugins.sources.registry.options import Options
from olpipe.default_plugins.sources.registry.source import RegistrySource
from olpipe.default_plugins.sources.transfer.options import Patience
from olpipe.errors import PullFailed, SourceUnreachable
from olpipe.model import ModelName
from olpipe.store.library import Library
from tests.store.registry_server import RegistryServer

HOST = "registry.example:5000"
QUICK = Patience(connect_s=5, stall_s=5, answer_s=5, attempts=2, first_wait_s=0.01, longest_wait_s=0.02)
MINE = ModelName.parse("mine")


def encoded(text):
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def found(tmp_path):
    """Return a function that writes Docker's file, and says what is found in it for a host."""

    def found(value, host=HOST):
        (tmp_path / "config.json").write_text(value if isinstance(value, str) else json.dumps(value))
        return basic_credentials(tmp_path, host)

    return found


@pytest.mark.parametrize(
    ("key", "entry", "text"),
    [
        (HOST, {"auth": encoded("me:s3cret")}, "me:s3cret"),
        (f"https://{HOST}", {"auth": encoded("me:s3:cret")}, "me:s3:cret"),
        (f"https://{HOST}/v2/", {"auth": encoded("me:s3cret\0")}, "me:s3cret"),
        (HOST, {"username": "me", "password": "grün"}, "me:grün"),
        (HOST, {"auth": encoded("<token>:abc"), "username": "other"}, "<token>:abc"),
    ],
)
def test_a_password_is_found_as_docker_keeps_it(found, key, entry, text):
    assert base64.b64decode(found({"auths": {"other.example": {}, key: entry}})).decode() == text


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        {"auths": []},
        {"auths": {HOST: []}},
        {"auths": {HOST: {}}},
        {"auths": {HOST: {"auth": ""}}},
        {"auths": {HOST: {"username": "me", "password": 1}}},
        {"auths": {"registry.example": {"auth": encoded("me:s3cret")}}},
        {"auths": {f"{HOST}0": {"auth": encoded("me:s3cret")}}},
        {"credHelpers": {HOST: "helper"}, "credsStore": "store"},
    ],
)
def test_where_there_is_none_there_is_none(found, value, caplog):
    assert found(value) == ""
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("{", "the passwords in"),
        ("[" * 100_000, "the passwords in"),
        ('"' + "x" * MOST_BYTES + '"', "it is too large"),
        ({"auths": {HOST: {"auth": "not base64!"}}}, "`auth` is no user name with a password"),
        ({"auths": {HOST: {"auth": encoded("nobody")}}}, "`auth` is no user name with a password"),
    ],
)
def test_what_cannot_be_used_is_told_without_the_password(found, value, said, caplog):
    assert found(value) == ""
    assert said in caplog.text
    assert encoded("nobody") not in caplog.text


def test_without_a_folder_or_a_file_there_is_none(tmp_path):
    assert basic_credentials(None, HOST) == basic_credentials(tmp_path / "nowhere", HOST) == ""
    (tmp_path / "file").touch()
    assert basic_credentials(tmp_path / "file", HOST) == ""


# --- proxies --------------------------------------------------------------------------------------


@pytest.fixture
def proxy(monkeypatch):
    """Return a server that answers for any host as a proxy, and which the environment names."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with RegistryServer() as server:
        server.put("library/mine", [server.layer(bytes(100_000), name="weights.bin")], config={"model_format": "raw"})
        monkeypatch.setenv("http_proxy", server.url)
        yield server


def pull(folder, **options):
    library = Library(folder / "models", cache=folder / "cache")
    found = Options(registry="http://registry.example", patience=QUICK, **options)
    RegistrySource(lambda: found).pull("mine", MINE, library, lambda step: None)
    return library


def nobody(host, port):
    raise OSError(-2, "Name or service not known")


def test_a_registry_is_asked_through_the_proxy_that_the_environment_names(proxy, tmp_path):
    library = pull(tmp_path, resolve=nobody)
    assert library.names() == [MINE]
    assert all(path.startswith("http://registry.example/v2/") for path in proxy.paths())


def test_a_registry_behind_a_proxy_leads_to_no_private_address_either(proxy, tmp_path):
    proxy.storage = "http://10.0.0.5"
    with pytest.raises(PullFailed, match=r"has the address 10\.0\.0\.5, which a source of models must not lead to"):
        pull(tmp_path, resolve=nobody)
    assert not any("10.0.0.5" in path for path in proxy.paths())


@pytest.mark.parametrize("hosts", ["registry.example", ".example", "*"])
def test_hosts_that_need_no_proxy_are_asked_directly(proxy, tmp_path, monkeypatch, hosts):
    monkeypatch.setenv("no_proxy", hosts)
    with pytest.raises(SourceUnreachable, match=r"could not reach `registry\.example`"):
        pull(tmp_path, resolve=nobody)
    assert proxy.asked == []


def test_a_registry_on_this_machine_is_never_asked_through_a_proxy(proxy, tmp_path, monkeypatch):
    with RegistryServer() as server:
        server.put("library/mine", [server.layer(b"x", name="weights.bin")], config={"model_format": "raw"})
        library = Library(tmp_path / "models", cache=tmp_path / "cache")
        options = Options(registry=server.url, patience=QUICK)
        RegistrySource(lambda: options).pull("mine", MINE, library, lambda step: None)
    assert library.names() == [MINE]
    assert proxy.asked == []
