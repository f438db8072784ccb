"""Find plugins, load each alone, and keep what they bring in registries.

A plugin that cannot be loaded is one warning line and a row in `olpipe plugins`; nothing else of
the command line notices.
"""

from __future__ import annotations

import importlib
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import pluggy

from olpipe import entry_points, hookspecs, interfaces
from olpipe.errors import PluginError
from olpipe.registry import Registry
from olpipe.settings import Settings

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

logger = logging.getLogger(__name__)

DEFAULT_PLUGINS = (
    "olpipe.default_plugins.ort_genai",
    "olpipe.default_plugins.sources.file",
    "olpipe.default_plugins.sources.pip",
    "olpipe.default_plugins.loaders.pillow",
    "olpipe.default_plugins.loaders.heif",
    "olpipe.default_plugins.tasks.photo",
    "olpipe.default_plugins.tasks.data",
    "olpipe.default_plugins.sinks.jsonl",
    "olpipe.default_plugins.executors.local",
)

PluginStatus = Literal["loaded", "failed", "disabled"]


@dataclass(frozen=True, slots=True)
class PluginRow:
    """One plugin as `olpipe plugins` shows it."""

    name: str
    distribution: str
    version: str
    status: PluginStatus
    error: str = ""


class Plugins:
    """What all loaded plugins bring. Made once at the entrance and passed down."""

    def __init__(self) -> None:
        self.backends = Registry("backend", interfaces.Backend)  # type: ignore[type-abstract]
        self.model_sources = Registry("model source", interfaces.ModelSource, key="scheme")  # type: ignore[type-abstract]
        self.image_loaders = Registry("image loader", interfaces.ImageLoader)  # type: ignore[type-abstract]
        self.perceivers = Registry("perceiver", interfaces.Perceiver)  # type: ignore[type-abstract]
        self.tasks = Registry("task", interfaces.Task)  # type: ignore[type-abstract]
        self.sinks = Registry("sink", interfaces.SinkFactory, key="scheme")  # type: ignore[type-abstract]
        self.executors = Registry("executor", interfaces.Executor)  # type: ignore[type-abstract]
        self.rows: list[PluginRow] = []
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)

    @classmethod
    def load(cls, settings: Settings) -> Plugins:
        """Load the default plugins, then every installed one that the settings let in."""
        plugins = cls()
        for module in DEFAULT_PLUGINS:
            plugins.add(importlib.import_module(module), module.removeprefix("olpipe.default_plugins."))
        for entry_point in entry_points.installed(entry_points.PLUGINS):
            plugins._add_installed(entry_point, settings)
        return plugins

    def registries(self) -> dict[interfaces.PluginKind, Registry[Any]]:
        """Return every registry by the name of its kind."""
        return {
            "backends": self.backends,
            "model_sources": self.model_sources,
            "image_loaders": self.image_loaders,
            "perceivers": self.perceivers,
            "tasks": self.tasks,
            "sinks": self.sinks,
            "executors": self.executors,
        }

    def add(self, module: object, name: str) -> None:
        """Register one plugin module and everything it brings; all of it or nothing.

        Raises:
            PluginError: It breaks a contract: a misspelt hook, a wrong type, a name that is taken.
        """
        try:
            self._manager.register(module, name)
            self._manager.check_pending()
            for kind, registry in self.registries().items():
                for items in self._manager.subset_hook_caller(f"register_{kind}", self._others(module))():
                    for item in items:
                        registry.register(item, name)
        except pluggy.PluginValidationError as error:
            self._remove(module, name)
            raise PluginError(f"plugin `{name}` is not valid: {error}") from error
        except BaseException:
            self._remove(module, name)
            raise

    def _others(self, module: object) -> list[object]:
        return [plugin for plugin in self._manager.get_plugins() if plugin is not module]

    def _remove(self, module: object, name: str) -> None:
        for registry in self.registries().values():
            registry.discard(name)
        if self._manager.is_registered(module):
            self._manager.unregister(module)

    def _add_installed(self, entry_point: EntryPoint, settings: Settings) -> None:
        distribution = entry_point.dist
        row = PluginRow(
            name=entry_point.name,
            distribution=distribution.name if distribution else "",
            version=distribution.version if distribution else "",
            status="loaded",
        )
        if not allowed(entry_point.name, settings):
            self.rows.append(replace(row, status="disabled"))
            return
        try:
            self.add(entry_point.load(), entry_point.name)
        except Exception as error:
            text = f"{type(error).__name__}: {error}".splitlines()[0]
            logger.warning("plugin `%s` could not be loaded: %s", entry_point.name, text, exc_info=settings.debug)
            row = replace(row, status="failed", error=text)
        self.rows.append(row)


def allowed(name: str, settings: Settings) -> bool:
    """Say whether the settings let an installed plugin in."""
    return name not in settings.plugins_deny and (settings.plugins_allow is None or name in settings.plugins_allow)
