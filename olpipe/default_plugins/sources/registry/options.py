"""What decides how registries are asked: the settings, and how patient olpipe is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from olpipe.default_plugins.sources.transfer.options import TransferOptions
from olpipe.settings import Settings

DEFAULT_REGISTRY = "https://registry.ollama.ai"


@dataclass(frozen=True, slots=True)
class Options(TransferOptions):
    """What decides how registries are asked.

    Attributes:
        registry: The URL of the registry for names without a host; empty where no registry is asked at all.
        token_hosts: Hosts other than a registry's own from which tokens may come.
        docker_config: The folder of Docker's `config.json`; None where there is none.
        key: The file with the key by which the registry for names without a host knows the user; None where requests
            are not signed.
    """

    registry: str = DEFAULT_REGISTRY
    token_hosts: tuple[str, ...] = ()
    docker_config: Path | None = None
    key: Path | None = None

    @classmethod
    def read(cls) -> Self:
        """Read the settings of this process."""
        settings = Settings.read()
        return cls(
            registry=settings.registry,
            streams=settings.transfer_streams,
            token_hosts=tuple(host.lower() for host in settings.token_hosts),
            docker_config=settings.docker_config,
            key=settings.registry_key,
        )
