"""What decides how others are asked for files: how patient olpipe is, and how addresses are found and judged."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from olpipe.network.public_addresses import IPAddress, is_public

Resolve = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a host. It raises an `OSError` where it has none."""

DEFAULT_STREAMS = 4


@dataclass(frozen=True, slots=True)
class Patience:
    """How long olpipe waits for others, and how often it tries again.

    Attributes:
        connect_s: For a connection.
        stall_s: For the next byte. A body that brings fewer than `least_bytes` in this time counts as stalled, too.
        answer_s: For the whole of a small answer, such as a manifest.
        least_bytes: What `stall_s` has to bring of a large body, and an attempt, so that it counts as a success.
        attempts: How often the same is tried without a success.
        first_wait_s: How long it waits before the second attempt. The wait doubles from then on.
        longest_wait_s: How long it waits at most, even where a host asks for more.
    """

    connect_s: float = 10.0
    stall_s: float = 30.0
    answer_s: float = 60.0
    least_bytes: int = 32 << 10
    attempts: int = 6
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0

    def wait_s(self, failures: int, asked_s: float) -> float:
        """Return how long to wait after so many failures in a row.

        Args:
            failures: How many.
            asked_s: How long the host asks to wait.
        """
        doubled: float = self.first_wait_s * 2 ** (failures - 1)
        return min(self.longest_wait_s, max(asked_s, doubled * random.uniform(0.75, 1.25)))


def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the system for the addresses of a host."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(place[4][0]) for place in found))


@dataclass(frozen=True, slots=True)
class TransferOptions:
    """What decides how hosts are asked for files.

    Attributes:
        streams: Over how many connections a file is pulled.
        patience: How long to wait, and how often to try again.
        resolve: Finds the addresses of a host.
        is_public: Says whether an address belongs to the public internet.
    """

    streams: int = DEFAULT_STREAMS
    patience: Patience = field(default_factory=Patience)
    resolve: Resolve = resolve
    is_public: Callable[[IPAddress], bool] = is_public
