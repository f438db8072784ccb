"""What decides how registries are asked: the settings, and how patient olpipe is."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from olpipe.network.public_addresses import IPAddress, is_public
from olpipe.settings import Settings

Resolve = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a host. It raises an `OSError` where it has none."""

DEFAULT_REGISTRY = "https://registry.ollama.ai"
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
        longest_wait_s: How long it waits at most, even where a registry asks for more.
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
            asked_s: How long the registry asks to wait.
        """
        doubled: float = self.first_wait_s * 2 ** (failures - 1)
        return min(self.longest_wait_s, max(asked_s, doubled * random.uniform(0.75, 1.25)))


def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the system for the addresses of a host."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(place[4][0]) for place in found))


@dataclass(frozen=True, slots=True)
class Options:
    """What decides how registries are asked.

    Attributes:
        registry: The URL of the registry for names without a host; empty where no registry is asked at all.
        streams: Over how many connections a file is pulled.
        token_hosts: Hosts other than a registry's own from which tokens may come.
        docker_config: The folder of Docker's `config.json`; None where there is none.
        patience: How long to wait, and how often to try again.
        resolve: Finds the addresses of a host.
        is_public: Says whether an address belongs to the public internet.
    """

    registry: str = DEFAULT_REGISTRY
    streams: int = DEFAULT_STREAMS
    token_hosts: tuple[str, ...] = ()
    docker_config: Path | None = None
    patience: Patience = field(default_factory=Patience)
    resolve: Resolve = resolve
    is_public: Callable[[IPAddress], bool] = is_public

    @classmethod
    def read(cls) -> Self:
        """Read the settings of this process."""
        settings = Settings.read()
        return cls(
            registry=settings.registry,
            streams=settings.transfer_streams,
            token_hosts=tuple(host.lower() for host in settings.token_hosts),
            docker_config=settings.docker_config,
        )
