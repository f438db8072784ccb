"""Tell addresses of the public internet from those of a machine, a private network or a tunnel."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

IPAddress = IPv4Address | IPv6Address

_IPV6_INTERNET = ip_network("2000::/3")
_TRANSLATED = ip_network("64:ff9b::/96")  # leads to the IPv4 address in its last four bytes (RFC 6052)
# Blocks with a purpose of their own that not every version of Python knows; Azure's address; tunnels
_ELSEWHERE = tuple(
    map(
        ip_network,
        [
            *("100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32"),
            *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
        ],
    )
)


def is_public(address: IPAddress) -> bool:
    """Say whether an address belongs to the public internet: no private, local, shared, reserved or group address.

    Addresses of tunnels count as not public, because they hide another one. So does the address at which virtual
    machines of Azure find the services of their host.

    Source: https://www.iana.org/assignments/iana-ipv6-special-registry and
    https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
    """
    if address in _TRANSLATED:
        return is_public(IPv4Address(address.packed[-4:]))
    if isinstance(address, IPv6Address) and address not in _IPV6_INTERNET:
        return False
    special = address.is_multicast or address.is_reserved or address.is_unspecified or address.is_link_local
    return address.is_global and not special and not any(address in network for network in _ELSEWHERE)
