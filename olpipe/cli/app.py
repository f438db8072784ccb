"""What every command needs, made when first asked for and passed down as click's object."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from olpipe.settings import Settings

if TYPE_CHECKING:
    from olpipe.client.server import Server
    from olpipe.engine.manager import Engine
    from olpipe.interfaces import ProgressCallback
    from olpipe.perception.evidence_cache import EvidenceCache
    from olpipe.plugins import Plugins
    from olpipe.store.library import Library


class App:
    """What all commands share: the settings from the start, everything heavier on demand."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def plugins(self) -> Plugins:
        """All plugins that the settings let in."""
        from olpipe.plugins import Plugins

        return Plugins.load(self.settings)

    @cached_property
    def library(self) -> Library:
        """The models on this machine."""
        from olpipe.store.library import Library

        return Library(
            self.settings.models_folder, cache=self.settings.home / "cache", keeps_blobs=self.settings.keeps_blobs
        )

    @cached_property
    def evidence(self) -> EvidenceCache:
        """What perceivers found in photos before."""
        from olpipe.perception.evidence_cache import EvidenceCache

        return EvidenceCache(self.settings.home / "cache" / "evidence.sqlite")

    @cached_property
    def server(self) -> Server | None:
        """The server that commands use; None where each command does its work itself.

        Raises:
            ServerUnreachable: A server was chosen, and nobody answers there.
        """
        from olpipe.client.finding import find_server

        return find_server(self.settings)

    def close(self) -> None:
        """Close the connections to the server, where there are any."""
        server = self.__dict__.get("server")
        if server is not None:
            server.close()

    def engine(self, progress: ProgressCallback) -> Engine:
        """Make an engine; use it as a context manager, so that no runner outlives it.

        Args:
            progress: Told how far pulling and building a model is.
        """
        from olpipe.engine.manager import Engine

        return Engine(self.library, self.plugins, self.settings, progress=progress)
