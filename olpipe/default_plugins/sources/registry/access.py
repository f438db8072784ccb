"""Prove to a registry who asks: with a token, with a password, with a key, or with nothing.

A token is fetched from where the registry says. That must be the registry itself, or a host that the settings allow:
otherwise a registry could have a user's password sent to anybody.
Source: https://distribution.github.io/distribution/spec/auth/token/
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import httpx

from olpipe.default_plugins.sources.registry.address import Address
from olpipe.default_plugins.sources.registry.challenge import Challenge, demanded
from olpipe.default_plugins.sources.registry.credentials import basic_credentials
from olpipe.default_plugins.sources.registry.options import Options
from olpipe.default_plugins.sources.registry.signing import NoKey, proof_of_freshness, signature
from olpipe.default_plugins.sources.transfer.answers import read_answer
from olpipe.default_plugins.sources.transfer.connections import Connections, origin_of
from olpipe.default_plugins.sources.transfer.trouble import Transient, Trouble
from olpipe.model import DEFAULT_HOST
from olpipe.network.addresses import MOST_PORT

MOST_TOKEN_BYTES = 64 << 10
_TOKEN = re.compile(r"[!-~]+")


class Access:
    """What is sent to a registry with each request, so that it answers. Several threads may use it."""

    def __init__(self, address: Address, actions: str, connections: Connections, options: Options) -> None:
        """Send nothing until the registry demands something.

        Args:
            address: Where the model is.
            actions: What is to be done with it: `pull`, or `pull,push`.
            connections: Connections to the registry.
            options: Where passwords and the key are, and which hosts may give tokens.
        """
        self._address = address
        self._actions = actions
        self._connections = connections
        self._options = options
        self._lock = threading.Lock()
        self._sent: dict[str, str] = {}
        self._knows_user = False
        self._about_key = ""

    def headers(self) -> dict[str, str]:
        """Return what to send with a request to the registry."""
        return self._sent

    def renew(self, demands: Sequence[str], refused: dict[str, str]) -> None:
        """Do what a registry demands before it answers.

        Args:
            demands: The values of its header `WWW-Authenticate`.
            refused: What was sent with the request that it refused. Where another thread has renewed it since then,
                nothing is done.

        Raises:
            Trouble: What it demands must not be done, or is not enough.
            Transient: No token could be fetched.
        """
        with self._lock:
            if self._sent is not refused:
                return
            host = self._address.host
            challenge = demanded(demands, host)
            if not self._address.trusted:
                message = (
                    f"`{host}` demands a proof of identity, and over plain HTTP everybody on the way could read it"
                )
                raise Trouble(message, hint="use HTTPS, or allow it with `--insecure`")
            password = basic_credentials(self._options.docker_config, host)
            self._knows_user = bool(password)
            if challenge.scheme == "bearer":
                self._sent = {"Authorization": f"Bearer {self._token(challenge, password)}"}
            elif password and not refused:
                self._sent = {"Authorization": f"Basic {password}"}
            else:
                raise self.refusal()

    def refusal(self) -> Trouble:
        """Return the trouble with a registry that gives no access."""
        host = self._address.host
        if self._knows_user:
            message = f"`{host}` does not give access to the user in Docker's `config.json`"
            return Trouble(message, hint="the password may be wrong, or the model another user's")
        login = f"`docker login {host}` keeps a user name and a password where olpipe finds them"
        message = f"`{host}` gives no access without a user name, or has no such model"
        return Trouble(message, hint=self._about_key or login)

    def _token(self, challenge: Challenge, password: str) -> str:
        """Fetch a token."""
        host = self._address.host
        query = {"scope": f"repository:{self._address.repository}:{self._actions}"}
        if service := challenge.parameters.get("service"):
            query["service"] = service
        url = self._realm(challenge).copy_merge_params(query)
        headers = {"Authorization": f"Basic {password}"} if password else {}
        key = self._options.key
        if key is not None and not password and self._knows_keys(url):
            url, headers = self._signed(url, key)
        response = self._connections.send("GET", url, headers)
        try:
            if response.status_code in (401, 403):
                raise self.refusal()
            if response.status_code >= 500 or response.status_code == 429:
                raise Transient(f"`{host}` gives no token: it answered with the status {response.status_code}")
            if response.status_code != 200:
                raise Trouble(f"`{host}` gives no token: it answered with the status {response.status_code}")
            data = read_answer(response, MOST_TOKEN_BYTES, self._options.patience.answer_s)
        finally:
            response.close()
        try:
            answer = json.loads(data)
            token = answer.get("token") or answer.get("access_token")
        except (ValueError, RecursionError, AttributeError) as error:
            raise Trouble(f"`{host}` gives no token: its answer is not a JSON object") from error
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise Trouble(f"`{host}` gives no token: its answer has none that could be sent")
        return token

    def _knows_keys(self, url: httpx.URL) -> bool:
        """Say whether a request for a token may be signed: only the registry itself gets to see whose key it is."""
        is_default = self._address.name.host == DEFAULT_HOST
        return is_default and origin_of(url) == origin_of(httpx.URL(self._address.url))

    def _signed(self, url: httpx.URL, key: Path) -> tuple[httpx.URL, dict[str, str]]:
        """Return the URL and the headers of a signed request for a token; of an unsigned one where no key may be used.

        The query is written as Ollama writes it: in the order of its names.
        """
        query = sorted([*parse_qsl(url.query.decode("ascii"), keep_blank_values=True), *proof_of_freshness().items()])
        fresh = url.copy_with(query=urlencode(query).encode("ascii"))
        try:
            proof = signature(key, "GET", str(fresh))
        except NoKey as error:
            self._about_key = error.hint
            return url, {}
        self._about_key = f"the model may be another user's, or the registry does not know your key yet: `{key}.pub`"
        return fresh, {"Authorization": proof}

    def _realm(self, challenge: Challenge) -> httpx.URL:
        """Return the URL that gives tokens.

        Raises:
            Trouble: It is not one that may be asked.
        """
        registry = httpx.URL(self._address.url)
        text = challenge.parameters.get("realm", "")
        try:
            url = httpx.URL(text)
        except (httpx.InvalidURL, ValueError):
            url = httpx.URL("")
        is_url = url.scheme in ("https", registry.scheme) and url.host and (url.port or 0) <= MOST_PORT
        if not is_url or url.userinfo:
            raise Trouble(f"`{self._address.host}` names `{text:.200}` for tokens, which is no URL to fetch one from")
        allowed = url.netloc.decode("ascii").lower() in self._options.token_hosts
        if origin_of(url) != origin_of(registry) and not (allowed and url.scheme == "https"):
            host = url.netloc.decode("ascii")
            raise Trouble(
                f"`{self._address.host}` names another host for tokens, `{host}`, which could read your password",
                hint=f"if you trust that host, set OLPIPE_TOKEN_HOSTS={host}",
            )
        return url
