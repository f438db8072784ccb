"""Which hosts the URLs of requests may lead to, as OLPIPE_IMAGE_URLS says it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

_ON = ("on", "1", "true", "yes")
_OFF = ("", "off", "0", "false", "no")
_NAME = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")


@dataclass(frozen=True, slots=True)
class Reachable:
    """Hosts that the server may fetch something from.

    Attributes:
        public: Whether all hosts are that have a public address.
        names: Host names in lower case. `*.example.com` stands for all names that end in `.example.com`.
        networks: Addresses and networks, such as `192.168.1.0/24`. They need not be public.
    """

    public: bool = False
    names: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `off`, `on`, or a list of hosts with commas, which may have `on` in it.

        Raises:
            ValueError: An entry is neither a host name, nor an address, nor a network.
        """
        entries = [entry.strip().lower().rstrip(".") for entry in text.strip().strip("\"'").split(",")]
        entries = [entry for entry in entries if entry not in _OFF]
        public = [entry for entry in entries if entry in _ON]
        rest = [entry for entry in entries if entry not in _ON]
        networks = [entry for entry in rest if _is_network(entry)]
        names = [entry for entry in rest if entry not in networks]
        for name in names:
            if not _NAME.fullmatch(name) or name.rpartition(".")[2].isdecimal():
                raise ValueError(f"`{name}` is neither a host name nor an address")
        return cls(bool(public), tuple(names), tuple(networks))

    def __bool__(self) -> bool:
        return self.public or bool(self.names or self.networks)

    def __str__(self) -> str:
        return ",".join([*(["on"] if self.public else []), *self.names, *self.networks]) or "off"

    def names_host(self, host: str) -> bool:
        """Say whether a host name, in lower case and without a dot at its end, is in the list."""
        return any(host == name or (name.startswith("*.") and host.endswith(name[1:])) for name in self.names)

    def names_address(self, address: IPv4Address | IPv6Address) -> bool:
        """Say whether an address is in the list, itself or as one of a network."""
        from ipaddress import ip_network

        return any(address in ip_network(network, strict=False) for network in self.networks)


def _is_network(entry: str) -> bool:
    from ipaddress import ip_network  # imported here, because most commands have no such setting

    try:
        ip_network(entry, strict=False)
    except ValueError:
        return False
    return True
