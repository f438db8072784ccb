"""Connections to a registry, and to the hosts to which it redirects.

A host is resolved once, its addresses are checked, and connections go to one of these very addresses: another answer of
the name server later on changes nothing. A registry of the public internet cannot send anybody into a private network.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.request import getproxies, proxy_bypass

import httpx

from olpipe import __version__
from olpipe.default_plugins.sources.registry.options import Options
from olpipe.default_plugins.sources.registry.trouble import Transient, Trouble, Unreachable
from olpipe.errors import first_line
from olpipe.network.addresses import MOST_PORT
from olpipe.network.public_addresses import IPAddress

MOST_ADDRESSES = 4
"""How many addresses of a host are tried."""

LONGEST_URL = 8192

_PORTS = {"http": 80, "https": 443}
_HEADERS = {"User-Agent": f"olpipe/{__version__}", "Accept-Encoding": "identity"}


@dataclass(slots=True)
class _Host:
    """A host whose addresses were checked.

    Attributes:
        client: Keeps the connections to it. It has none to other hosts, so no connection is used for two of them.
        addresses: Its addresses, the one that answered last first; empty where a proxy finds it.
    """

    client: httpx.Client
    addresses: list[str]


class Connections:
    """Connections to a registry and to the hosts that it names. Several threads may use them."""

    def __init__(self, registry: str, options: Options) -> None:
        """Connect to nothing yet.

        Args:
            registry: The registry's URL.
            options: How long to wait, and how addresses are found and judged.
        """
        self._registry = origin_of(httpx.URL(registry))
        self._options = options
        self._hosts: dict[tuple[str, str, int], _Host] = {}
        self._lock = threading.Lock()
        self._only_public = True  # until the registry itself turns out to be in a private network
        self._tls: ssl.SSLContext | None = None

    def is_registry(self, url: httpx.URL) -> bool:
        """Say whether a URL belongs to the registry itself: scheme, host and port are the same."""
        return origin_of(url) == self._registry

    def send(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], content: Iterable[bytes] | bytes | None = None
    ) -> httpx.Response:
        """Send a request to a host that may be asked, and return its answer with the body unread. Close the answer.

        Raises:
            Unreachable: Nobody answers.
            Transient: The connection broke.
            Trouble: The host must not be asked, or cannot prove who it is.
        """
        host = self._host(url)
        failure: Exception | None = None
        for address in list(host.addresses) or [""]:
            request = host.client.build_request(
                method,
                url.copy_with(host=address, fragment=None) if address else url,
                headers={**_HEADERS, **headers, "Host": url.netloc.decode("ascii")},
                content=content,
                extensions={"sni_hostname": url.raw_host.decode("ascii")},
            )
            try:
                response = host.client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
                continue
            except (httpx.TransportError, httpx.StreamError) as error:
                raise broken(_shown(url), error) from error
            if address and host.addresses[0] != address:
                host.addresses = [address, *(other for other in host.addresses if other != address)]
            return response
        assert failure is not None
        raise _not_connected(url, failure) from failure

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for host in self._hosts.values():
                host.client.close()
            self._hosts.clear()

    def _host(self, url: httpx.URL) -> _Host:
        key = origin_of(url)
        with self._lock:
            if key not in self._hosts:
                self._hosts[key] = self._found(url)
            return self._hosts[key]

    def _found(self, url: httpx.URL) -> _Host:
        """Find and check the addresses of a host."""
        scheme, host, port = origin_of(url)
        proxy = _proxy(scheme, host)
        if proxy:  # which resolves the name itself, in a network of its own
            literal = _literal(host)
            if literal is not None and not self.is_registry(url):
                self._check(url, [literal])
            return _Host(self._client(scheme, proxy), [])
        try:
            found = [ip_address(text.partition("%")[0]) for text in self._options.resolve(host, port)]
        except (OSError, ValueError) as error:
            raise Unreachable(f"could not reach `{_shown(url)}`: {first_line(error)}") from error
        if not found:
            raise Unreachable(f"could not reach `{_shown(url)}`: it has no address")
        self._check(url, found)
        return _Host(self._client(scheme, ""), [str(address) for address in found[:MOST_ADDRESSES]])

    def _check(self, url: httpx.URL, addresses: Iterable[IPAddress]) -> None:
        """Refuse a host with an address that must not be asked. The caller holds the lock.

        Raises:
            Trouble: It has one.
        """
        if self.is_registry(url):
            self._only_public = any(self._options.is_public(address) for address in addresses)
        for address in addresses:
            # At a link-local address, clouds hand out secrets to their machines. No registry lives there.
            nowhere = address.is_link_local or address.is_multicast or address.is_unspecified
            foreign = self._only_public and not self.is_registry(url) and not self._options.is_public(address)
            if nowhere or foreign:
                raise Trouble(
                    f"`{_shown(url)}` has the address {address}, which a registry must not lead to",
                    hint="models are not fetched from inside a network because a registry outside of it says so",
                )

    def _client(self, scheme: str, proxy: str) -> httpx.Client:
        patience = self._options.patience
        if scheme == "https" and self._tls is None:
            self._tls = httpx.create_ssl_context()
        return httpx.Client(
            verify=self._tls if self._tls is not None else False,  # of plain HTTP, nothing can be verified
            trust_env=False,
            proxy=proxy or None,
            follow_redirects=False,
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
