"""Find plugins, load each alone, and keep what they bring in registries.

A plugin that cannot be loaded is one warning line and a row in `olpipe plugins`; nothing else of
the command line notices.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from inspect import isfunction
from typing import Any, Literal

import pluggy

from olpipe import __version__, entry_points, hookspecs, interfaces
from olpipe.errors import PluginError, nearest
from olpipe.registry import Registry
from olpipe.settings import Settings

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

PluginStatus = Literal["loaded", "failed", "disabled", "on demand"]
"""`on demand`: it only brings commands, and is imported when one of them runs."""


@dataclass(frozen=True, slots=True)
class PluginRow:
    """One plugin as `olpipe plugins` shows it."""

    name: str
    distribution: str
    version: str
    status: PluginStatus = "loaded"
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
            name = module.removeprefix("olpipe.default_plugins.")
            plugins._load(PluginRow(name, "olpipe", __version__), partial(importlib.import_module, module), settings)
        for found in entry_points.installed(entry_points.PLUGINS):
            distribution, version = (found.dist.name, found.dist.version) if found.dist else ("", "")
            row = PluginRow(found.name, distribution, version)
            if allowed(found.name, settings):
                plugins._load(row, found.load, settings)
            else:
                plugins.rows.append(replace(row, status="disabled"))
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
        if self._manager.has_plugin(name) or self._manager.is_registered(module):
            raise PluginError(f"plugin `{name}` is there twice")
        try:
            _check_hooks(module, name)
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

    def _load(self, row: PluginRow, load: Callable[[], object], settings: Settings) -> None:
        """Import one plugin and add it; whatever goes wrong is a warning and a row."""
        try:
            self.add(load(), row.name)
        except (Exception, SystemExit) as error:
            text = " ".join(f"{type(error).__name__}: {error}".split())
            logger.warning("plugin `%s` could not be loaded: %s", row.name, text, exc_info=settings.debug)
            row = replace(row, status="failed", error=text)
        self.rows.append(row)


def allowed(name: str, settings: Settings) -> bool:
    """Say whether the settings let an installed plugin in."""
    return name not in settings.plugins_deny and (settings.plugins_allow is None or name in settings.plugins_allow)


def _check_hooks(module: object, name: str) -> None:
    """Refuse a module with a hook that would never be called: it lacks its mark, or is misspelt."""
    known = [hook for hook in vars(hookspecs) if hook.startswith("register_")]
    for function in vars(module).values():
        if not isfunction(function) or function.__module__ != getattr(module, "__name__", None):
            continue
        marked = hasattr(function, f"{hookspecs.PROJECT}_impl")
        if function.__name__.startswith("register_") and not marked:
            raise PluginError(f"plugin `{name}` has a function `{function.__name__}` without `@hookimpl`")
        if marked and function.__name__ not in known:
            close = nearest(function.__name__, known, limit=1)
            meant = f"; did you mean `{close[0]}`?" if close else ""
            raise PluginError(f"plugin `{name}` implements `{function.__name__}`, which is no hook{meant}")
