"""Where a server listens, and where clients find it, as OLLAMA_HOST says it.

`unix:///run/olpipe.sock` is ours: a socket in the file system, which only this machine can reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

DEFAULT_NAME = "127.0.0.1"
DEFAULT_PORT = 11434
MOST_PORT = 65535
UNIX = "unix"
_LOCAL = ("localhost", "::1")
_SCHEME_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """An address of a server.

    Attributes:
        scheme: `http`, `https` or `unix`.
        name: A host name or an IP address; empty for all addresses of the machine.
        port: The port; 0 lets the system choose one.
        path: What stands before every route, without a slash at its end. For `unix`, the path of the socket.
    """

    scheme: str = "http"
    name: str = DEFAULT_NAME
    port: int = DEFAULT_PORT
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address. What is missing has Ollama's default, and so has a port that cannot be.

        Source: https://github.com/ollama/ollama/blob/main/envconfig/config.go
        """
        scheme, found, rest = text.strip().strip("\"'").strip().partition("://")
        if not found:
            scheme, rest = "http", scheme
        if found and scheme.lower() == UNIX:
            return cls(UNIX, "", 0, rest)
        usual_port = _SCHEME_PORTS.get(scheme, DEFAULT_PORT) if found else DEFAULT_PORT
        host, slash, path = rest.partition("/")
        if rest == "ollama.com" and not found:
            scheme, usual_port = "https", 443
        name, port = _split(host, usual_port)
        return cls(scheme, DEFAULT_NAME if not host else name, port, slash + path.rstrip("/") if path else "")

    @property
    def is_unix(self) -> bool:
        """Whether it is a socket in the file system."""
        return self.scheme == UNIX

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.is_unix or self.name in _LOCAL or self.name.startswith("127.")

    def __str__(self) -> str:
        if self.is_unix:
            return f"{UNIX}://{self.path}"
        name = f"[{self.name}]" if ":" in self.name else self.name
        return f"{self.scheme}://{name}:{self.port}{self.path}"


def _split(host: str, usual_port: int) -> tuple[str, int]:
    """Return the name and the port of `name:port`."""
    if host.startswith("["):
        name, _, after = host[1:].partition("]")
        return name, _port(after.removeprefix(":"), usual_port)
    if host.count(":") > 1:  # an IPv6 address without brackets
        return host, usual_port
    name, _, port = host.partition(":")
    return name, _port(port, usual_port)


def _port(text: str, usual_port: int) -> int:
    if not text:
        return usual_port
    try:
        port = int(text)
    except ValueError:
        return usual_port
    return port if 0 <= port <= MOST_PORT else usual_port
