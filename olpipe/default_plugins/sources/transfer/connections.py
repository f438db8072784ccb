"""Connections to a host of models, such as a registry, and to the hosts to which it redirects.

A host is resolved once, its addresses are checked, and connections go to one of these very addresses: another answer of
the name server later on changes nothing. A host of the public internet cannot send anybody into a private network.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from ipaddress import ip_address
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpx

from olpipe import __version__
from olpipe.default_plugins.sources.transfer.direct import CUT_OFF, DirectTransport
from olpipe.default_plugins.sources.transfer.options import TransferOptions
from olpipe.default_plugins.sources.transfer.trouble import Transient, Trouble, Unreachable
from olpipe.errors import first_line
from olpipe.network.addresses import MOST_PORT
from olpipe.network.public_addresses import IPAddress

MOST_ADDRESSES = 4
"""How many addresses of a host are tried."""

LONGEST_URL = 8192

_PORTS = {"http": 80, "https": 443}
_HEADERS = {"User-Agent": f"olpipe/{__version__}", "Accept-Encoding": "identity"}


class Connections:
    """Connections to a host and to those that it names. Several threads may use them."""

    def __init__(self, own: str, options: TransferOptions) -> None:
        """Connect to nothing yet.

        Args:
            own: The host's URL.
            options: How long to wait, and how addresses are found and judged.
        """
        self._own = origin_of(httpx.URL(own))
        self._options = options
        self._clients: dict[tuple[str, str, int], httpx.Client] = {}
        self._lock = threading.Lock()
        self._only_public = True  # until the host itself turns out to be in a private network
        self._tls: ssl.SSLContext | None = None

    def is_own(self, url: httpx.URL) -> bool:
        """Say whether a URL belongs to the host itself: scheme, name and port are the same."""
        return origin_of(url) == self._own

    def send(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], content: Iterable[bytes] | bytes | None = None
    ) -> httpx.Response:
        """Send a request to a host that may be asked, and return its answer with the body unread. Close the answer.

        Raises:
            Unreachable: Nobody answers.
            Transient: The connection broke.
            Trouble: The host must not be asked, or cannot prove who it is.
        """
        client = self._client(url)
        request = client.build_request(method, url, headers={**_HEADERS, **headers}, content=content)
        try:
            return client.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise _not_connected(url, error) from error
        except (httpx.TransportError, httpx.StreamError) as error:
            raise broken(_shown(url), error) from error

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def _client(self, url: httpx.URL) -> httpx.Client:
        """Return the client for a host. It has no connections to others, so none is used for two of them."""
        key = origin_of(url)
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self._found(url)
            return self._clients[key]

    def _found(self, url: httpx.URL) -> httpx.Client:
        """Find and check the addresses of a host. The caller holds the lock."""
        scheme, host, port = origin_of(url)
        if scheme == "https" and self._tls is None:
            self._tls = httpx.create_ssl_context()
        proxy = _proxy(scheme, host)
        if proxy:  # which looks up the name itself, in a network of its own
            literal = _literal(host)
            if literal is not None and not self.is_own(url):
                self._check(url, [literal])
            return self._proxied(proxy)
        try:
            found = [ip_address(text.partition("%")[0]) for text in self._options.resolve(host, port)]
        except (OSError, ValueError) as error:
            raise Unreachable(f"could not reach `{_shown(url)}`: {first_line(error)}") from error
        if not found:
            raise Unreachable(f"could not reach `{_shown(url)}`: it has no address")
        self._check(url, found)
        addresses = [str(address) for address in found[:MOST_ADDRESSES]]
        tls = self._tls if scheme == "https" else None
        transport = DirectTransport(host, port, addresses, self._options.patience, tls)
        return httpx.Client(transport=transport, trust_env=False)

    def _check(self, url: httpx.URL, addresses: Iterable[IPAddress]) -> None:
        """Refuse a host with an address that must not be asked. The caller holds the lock.

        Raises:
            Trouble: It has one.
        """
        if self.is_own(url):
            self._only_public = any(self._options.is_public(address) for address in addresses)
        for address in addresses:
            # At a link-local address, clouds hand out secrets to their machines. No source of models lives there.
            nowhere = address.is_link_local or address.is_multicast or address.is_unspecified
            foreign = self._only_public and not self.is_own(url) and not self._options.is_public(address)
            if nowhere or foreign:
                raise Trouble(
                    f"`{_shown(url)}` has the address {address}, which a source of models must not lead to",
                    hint="models are not fetched from inside a network because a host outside of it says so",
                )

    def _proxied(self, proxy: str) -> httpx.Client:
        patience = self._options.patience
        return httpx.Client(
            verify=self._tls if self._tls is not None else False,  # of plain HTTP, nothing can be verified
            trust_env=False,
            proxy=proxy,
            timeout=httpx.Timeout(patience.stall_s, connect=patience.connect_s),
            limits=httpx.Limits(max_connections=self._options.streams + 2),
        )


def origin_of(url: httpx.URL) -> tuple[str, str, int]:
    """Return the scheme, the host in lower case, and the port of a URL."""
    host = url.raw_host.decode("ascii").lower().rstrip(".")
    return url.scheme, host, url.port or _PORTS.get(url.scheme, 0)


def next_url(url: httpx.URL, location: str) -> httpx.URL:
    """Return where an answer leads.

    Args:
        url: What was asked.
        location: The header `Location` of the answer.

    Raises:
        Trouble: It must not be followed.
    """
    try:
        target = url.join(location) if len(location) <= LONGEST_URL else None
    except (httpx.InvalidURL, ValueError):
        target = None
    if target is None or target.scheme not in _PORTS or not target.host or (target.port or 0) > MOST_PORT:
        raise Trouble(f"`{_shown(url)}` leads to something that is no URL of http or https")
    if target.userinfo:
        raise Trouble(f"`{_shown(url)}` leads to a URL with a user name in it")
    if url.scheme == "https" and target.scheme == "http":
        raise Trouble(f"`{_shown(url)}` leads from https to http, which others can read and change on the way")
    return target


def cut_off(response: httpx.Response) -> None:
    """End the connection of an answer that another thread reads. That thread wakes up with an error."""
    if (cut := response.extensions.get(CUT_OFF)) is not None:
        cut()
        return
    stream: Any = response.extensions.get("network_stream")  # of httpx's own connections, to a proxy
    with suppress(OSError, ValueError, AttributeError):
        stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


def broken(host: str, error: Exception) -> Transient:
    """Return the trouble with a connection to a host that broke."""
    what = "it has stalled" if isinstance(error, httpx.TimeoutException) else first_line(error)
    return Transient(f"the connection to `{host}` broke: {what}")


def _not_connected(url: httpx.URL, error: Exception) -> Exception:
    """Return the trouble with a connection that was not made."""
    reason: BaseException | None = error
    while reason is not None and not isinstance(reason, ssl.SSLError):
        reason = reason.__cause__ or reason.__context__
    if isinstance(reason, ssl.SSLCertVerificationError):
        message = f"`{_shown(url)}` cannot prove who it is: {reason.verify_message}"
        return Trouble(message, hint="SSL_CERT_FILE names a file with further certificates to trust")
    if isinstance(reason, ssl.SSLError):
        message = f"`{_shown(url)}` does not speak HTTPS ({reason.reason or first_line(reason)})"
        return Trouble(message, hint="`--insecure` asks over plain HTTP, which others can read and change on the way")
    what = "nobody answers in time" if isinstance(error, httpx.TimeoutException) else first_line(error)
    return Unreachable(f"could not reach `{_shown(url)}`: {what}")


def _proxy(scheme: str, host: str) -> str:
    """Return the URL of the proxy that the environment names for a host; empty where it is reached directly."""
    literal = _literal(host)
    if host == "localhost" or (literal is not None and literal.is_loopback) or proxy_bypass(host):
        return ""
    proxies = getproxies()
    return proxies.get(scheme, "") or proxies.get("all", "")


def _literal(host: str) -> IPAddress | None:
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        return None


def _shown(url: httpx.URL) -> str:
    """Return a host with its port. Paths and queries of object storage may have secrets in them."""
    return url.netloc.decode("ascii")
