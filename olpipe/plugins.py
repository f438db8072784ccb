"""Find plugins, load each on its own, and keep what they bring in registries.

A plugin that cannot be loaded causes one warning and a row in `olpipe plugins`. Everything else works without it.
"""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from inspect import isfunction
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import pluggy

from olpipe import __version__, entry_points, hookspecs, interfaces
from olpipe.errors import PluginError, nearest
from olpipe.registry import NameTaken, Registry
from olpipe.settings import Settings

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

logger = logging.getLogger(__name__)

DEFAULT_PLUGINS = (
    "olpipe.default_plugins.onnx",
    "olpipe.default_plugins.ort_genai",
    "olpipe.default_plugins.families",
    "olpipe.default_plugins.sources.file",
    "olpipe.default_plugins.sources.pip",
    "olpipe.default_plugins.sources.hub",
    "olpipe.default_plugins.sources.registry",
    "olpipe.default_plugins.loaders.pillow",
    "olpipe.default_plugins.loaders.heif",
    "olpipe.default_plugins.loaders.raw",
    "olpipe.default_plugins.tasks.photo",
    "olpipe.default_plugins.tasks.data",
    "olpipe.default_plugins.sinks.jsonl",
    "olpipe.default_plugins.sinks.sidecar",
    "olpipe.default_plugins.sinks.sqlite",
    "olpipe.default_plugins.sinks.csv",
    "olpipe.default_plugins.executors.local",
)

PluginStatus = Literal["loaded", "failed", "disabled", "on demand"]
"""`on demand` means that the plugin brings only commands, and is imported when one of them runs."""


@dataclass(frozen=True, slots=True)
class PluginRow:
    """One plugin as `olpipe plugins` shows it."""

    name: str
    distribution: str
    version: str
    status: PluginStatus = "loaded"
    error: str = ""


class Plugins:
    """What all loaded plugins bring. A process makes it once, at its start, and passes it on."""

    def __init__(self) -> None:
        self.backends = Registry("backend", interfaces.Backend)  # type: ignore[type-abstract]
        self.families = Registry("family", interfaces.Family, titles=True)  # type: ignore[type-abstract]
        self.model_sources = Registry("model source", interfaces.ModelSource, key="scheme")  # type: ignore[type-abstract]
        self.image_loaders = Registry("image loader", interfaces.ImageLoader)  # type: ignore[type-abstract]
        self.perceivers = Registry("perceiver", interfaces.Perceiver)  # type: ignore[type-abstract]
        self.tasks = Registry("task", interfaces.Task)  # type: ignore[type-abstract]
        self.sinks = Registry("sink", interfaces.SinkFactory, key="scheme")  # type: ignore[type-abstract]
        self.executors = Registry("executor", interfaces.Executor)  # type: ignore[type-abstract]
        self.rows: list[PluginRow] = []
        self._brought: dict[tuple[str, str], list[Any]] = {}  # what each plugin's hook returned, by kind and plugin
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)

    @classmethod
    def load(cls, settings: Settings) -> Plugins:
        """Load the default plugins, then every installed one that the settings let in."""
        plugins = cls()
        for module in reversed(DEFAULT_PLUGINS):  # pluggy asks the plugin first that was registered last
            name = module.removeprefix("olpipe.default_plugins.")
            plugins._load(PluginRow(name, "olpipe", __version__), partial(importlib.import_module, module), settings)
        plugins.rows.reverse()
        installed = entry_points.by_name(entry_points.PLUGINS)
        _warn_of_unknown(settings, installed, [row.name for row in plugins.rows])
        for found, *others in installed.values():
            if settings.lets_in(found.name):
                plugins._load(_row(found), found.load, settings)
                plugins.rows += [_hidden(found, other, settings) for other in others]
            else:
                plugins.rows += [replace(_row(one), status="disabled") for one in (found, *others)]
        plugins._arrange_all(settings)
        for registry in plugins.registries().values():
            registry.not_loaded = plugins.not_loaded
        return plugins

    @property
    def not_loaded(self) -> str:
        """How a hint ends where something is missing: with the plugins that are not loaded, if there are any."""
        others = [f"`{row.name}` ({row.status})" for row in self.rows if row.status in ("disabled", "failed")]
        return f"; not loaded: {', '.join(others)}" if others else ""

    def registries(self) -> dict[interfaces.PluginKind, Registry[Any]]:
        """Return every registry by the name of its kind."""
        return {
            "backends": self.backends,
            "families": self.families,
            "model_sources": self.model_sources,
            "image_loaders": self.image_loaders,
            "perceivers": self.perceivers,
            "tasks": self.tasks,
            "sinks": self.sinks,
            "executors": self.executors,
        }

    def add(self, module: object, name: str) -> None:
        """Register one plugin module and everything it brings, or nothing of it if something fails.

        Raises:
            PluginError: It breaks a contract: a hook is misspelt, a type is wrong, or a name is taken.
        """
        self._add(module, name)
        try:
            self._arrange()
        except _WrapperFailed as error:
            self._remove(module, name)
            self._arrange()
            raise PluginError(str(error)) from error

    def _add(self, module: object, name: str) -> None:
        """Register what a module brings, without putting it in order with the others."""
        if self._manager.has_plugin(name) or self._manager.is_registered(module):
            raise PluginError(f"plugin `{name}` is there twice")
        try:
            _check_hooks(module, name)
            self._manager.register(module, name)
            self._manager.check_pending()
            for kind, registry in self.registries().items():
                for one in self._implementations(kind):
                    if one.plugin is module and not _is_wrapper(one):
                        items = self._brought[kind, name] = _several(one.function(), name, f"`register_{kind}`")
                        for item in items:
                            registry.register(item, name)
            self._tell_backends()
        except pluggy.PluginValidationError as error:
            self._remove(module, name)
            raise PluginError(f"plugin `{name}` is not valid: {error}") from error
        except BaseException:
            self._remove(module, name)
            raise

    def _arrange(self) -> None:
        """Put what plugins brought in the order in which pluggy calls their hooks, then apply the hook wrappers.

        Installed plugins come before the default ones; `tryfirst` and `trylast` change that. A hook wrapper gets what
        all plugins brought, in that order. The registry then holds what the wrapper returns.

        Raises:
            _WrapperFailed: A wrapper failed, or returned something of a wrong type.
        """
        for kind, registry in self.registries().items():
            # 1. What the plugins' own hooks returned, without calling them again
            implementations = self._implementations(kind)
            plain = [one.plugin_name for one in reversed(implementations) if not _is_wrapper(one)]
            results: list[Any] = [list(self._brought[kind, name]) for name in plain]
            owners = {id(item): name for name in plain for item in self._brought[kind, name]}
            registry.rebuild(_owned(results, owners, ""))
            # 2. Each wrapper changes the results of those inside it, the innermost wrapper first
            for one in filter(_is_wrapper, implementations):
                try:
                    results = _rearranged(f"register_{kind}", results, one)
                    registry.rebuild(_owned(results, owners, one.plugin_name))
                    self._tell_backends()
                except Exception as error:
                    raise _WrapperFailed(one, error) from error

    def _tell_backends(self) -> None:
        """Let the backends know all families of vision models, those that come later included."""
        for backend in self.backends:
            backend.families = self.families

    def _implementations(self, kind: str) -> list[pluggy.HookImpl]:
        """Return the implementations of a kind's hook; pluggy calls the last one first."""
        caller: pluggy.HookCaller = getattr(self._manager.hook, f"register_{kind}")
        return caller.get_hookimpls()

    def _remove(self, module: object, name: str) -> None:
        for kind, registry in self.registries().items():
            registry.discard(name)
            self._brought.pop((kind, name), None)
        if self._manager.is_registered(module):
            self._manager.unregister(module)

    def _arrange_all(self, settings: Settings) -> None:
        """Put everything in order. A plugin whose wrapper fails is removed, with a warning and a row that says why."""
        while True:
            try:
                self._arrange()
                return
            except _WrapperFailed as error:
                self._remove(error.implementation.plugin, error.implementation.plugin_name)
                at = next(at for at, row in enumerate(self.rows) if row.name == error.implementation.plugin_name)
                self.rows[at] = _failed(self.rows[at], error.reason, settings)

    def _load(self, row: PluginRow, load: Callable[[], object], settings: Settings) -> None:
        """Import one plugin and register it. Whatever goes wrong becomes a warning and a row that says why."""
        try:
            self._add(load(), row.name)
        except NameTaken as error:
            row = _failed(row, error, settings, self._way_on(row.name, error, settings))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a warning tells it
            row = _failed(row, error, settings)
        self.rows.append(row)

    def _way_on(self, name: str, error: NameTaken, settings: Settings) -> str:
        """Return what happens to a plugin that brings a name which another one has, and what can be done."""
        if error.by == name:
            return ""
        dropped = f"; nothing that `{name}` brings can be used"
        if any(row.name == error.by and row.distribution == "olpipe" for row in self.rows):
            return f"{dropped}, because `{error.by}` ships with olpipe"
        denied = ",".join([*settings.plugins_deny, error.by])
        return f"{dropped}. To use it, do without `{error.by}`: OLPIPE_DISABLE_PLUGINS={denied}"


class _WrapperFailed(Exception):
    """A wrapper around a hook that failed."""

    def __init__(self, implementation: pluggy.HookImpl, reason: Exception) -> None:
        super().__init__(
            f"the wrapper `{implementation.function.__name__}` of the plugin `{implementation.plugin_name}` "
            f"failed: {_in_a_line(reason)}"
        )
        self.implementation = implementation
        self.reason = reason


def _row(found: EntryPoint) -> PluginRow:
    return PluginRow(found.name, entry_points.distribution(found), found.dist.version if found.dist else "")


def _hidden(first: EntryPoint, other: EntryPoint, settings: Settings) -> PluginRow:
    """Warn that a plugin has the name of another distribution's plugin, and return its row."""
    row, owner = _row(other), entry_points.distribution(first)
    error = PluginError(f"the distributions `{owner}` and `{row.distribution}` both have a plugin `{row.name}`")
    return _failed(row, error, settings, "; uninstall one of them", whose=f" of `{row.distribution}`")


def _failed(
    row: PluginRow, error: BaseException, settings: Settings, way_on: str = "", *, whose: str = ""
) -> PluginRow:
    """Warn that a plugin cannot be used, and return its row."""
    text = _in_a_line(error)
    trace = error if settings.debug else None
    logger.warning("plugin `%s`%s could not be loaded: %s%s", row.name, whose, text, way_on, exc_info=trace)
    return replace(row, status="failed", error=text)


def _warn_of_unknown(settings: Settings, installed: Mapping[str, Sequence[EntryPoint]], shipped: Sequence[str]) -> None:
    """Warn of names in `OLPIPE_PLUGINS` and `OLPIPE_DISABLE_PLUGINS` that are no installed plugin's.

    Args:
        settings: The settings.
        installed: The entry points of installed plugins, by name.
        shipped: The names of plugins that ship with olpipe.
    """
    if not settings.plugins_allow and not settings.plugins_deny:
        return
    owners = {name: entry_points.distribution(found[0]) for name, found in installed.items()}
    # A distribution that only brings commands is a plugin of its own name
    commands = {entry_points.distribution(found) for found in entry_points.installed(entry_points.COMMANDS)}
    known = {*owners, *(commands - set(owners.values()))}
    named = [("OLPIPE_PLUGINS", name) for name in settings.plugins_allow or () if name not in shipped]
    named += [("OLPIPE_DISABLE_PLUGINS", name) for name in settings.plugins_deny]
    for setting, name in named:
        if name in shipped:
            logger.warning("%s names `%s`, which ships with olpipe and always stays", setting, name)
        elif name not in known:
            of_distribution = [plugin for plugin, owner in owners.items() if _same_project(owner, name)]
            close = [f"`{one}`" for one in of_distribution or nearest(name, known)]
            way_on = f"did you mean {' or '.join(close)}?" if close else "`olpipe plugins` lists them"
            logger.warning("%s names `%s`, and no installed plugin is called that; %s", setting, name, way_on)


def _same_project(one: str, other: str) -> bool:
    """Say whether two names of distributions mean the same: capitals and the kind of dashes do not count."""
    return re.sub("[-_.]+", "-", one).lower() == re.sub("[-_.]+", "-", other).lower()


def _in_a_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _wrapped(hook: str, results: list[Any], wrapper: pluggy.HookImpl) -> list[Any]:
    """Have pluggy call one hook wrapper around results that are known already, and return what comes out."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    for place, result in enumerate(reversed(results)):  # pluggy asks the plugin first that was registered last
        manager.register(_standing_for(hook, lambda result=result: result), f"result {place}")
    manager.register(_standing_for(hook, wrapper.function), "wrapper")
    found: list[Any] = getattr(manager.hook, hook)()
    return found


def _standing_for(hook: str, function: Callable[..., Any]) -> ModuleType:
    """Return a plugin module with one hook. A function without `@hookimpl` gets it."""
    plugin = ModuleType(hook)
    marked = hasattr(function, f"{hookspecs.PROJECT}_impl")
    setattr(plugin, hook, function if marked else hookspecs.hookimpl(function))
    return plugin


def _owned(results: list[Any], owners: dict[int, str], other: str) -> list[tuple[object, str]]:
    """Return each thing with the plugin that brought it. `other` brought the things that have no owner yet."""
    return [(item, owners.setdefault(id(item), other)) for result in results for item in result]


def _several(value: object, plugin: str, where: str) -> list[Any]:
    """Return what a hook returned as a list.

    Args:
        value: What it returned.
        plugin: The plugin.
        where: Which hook it was.

    Raises:
        PluginError: It is not several things.
    """
    if value is None:
        raise PluginError(
            f"plugin `{plugin}` returned nothing from {where}: return a list or a tuple, "
            "`()` where there is nothing to bring"
        )
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise PluginError(
            f"plugin `{plugin}` returned one {type(value).__name__} from {where}: return a list or a tuple"
        )
    return list(value)


def _rearranged(hook: str, results: list[Any], wrapper: pluggy.HookImpl) -> list[Any]:
    """Return what a hook wrapper makes of results: lists of what plugins brought.

    Raises:
        PluginError: It is something else.
    """
    plugin, where = wrapper.plugin_name, f"its wrapper of `{hook}`"
    found = _several(_wrapped(hook, results, wrapper), plugin, where)
    return [_several(result, plugin, f"{where}, among others") for result in found]


def _is_wrapper(implementation: pluggy.HookImpl) -> bool:
    return implementation.wrapper or implementation.hookwrapper


def _check_hooks(module: object, name: str) -> None:
    """Refuse a module with a hook that would never be called: it lacks `@hookimpl`, or its name is misspelt."""
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
