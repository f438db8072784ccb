"""Named things of one kind, each remembered with the plugin that brought it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from olpipe.errors import OlpipeError, PluginError, UnknownName, first_line, nearest
from olpipe.plugin_projects import way_to

T = TypeVar("T")

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*"), "lower-case letters, digits, `-`, `_` and `.`"
"""Names are typed in commands, listed with commas, and followed by `:` where they are schemes."""

_TITLE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._ -]*[A-Za-z0-9._-])?"), "letters, digits, spaces, `-`, `_` and `.`"
"""Titles are only shown and listed with commas. Nobody has to type them."""

_CHECKS: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "tuple[str, ...]": lambda value: isinstance(value, tuple) and all(isinstance(one, str) for one in value),
}
_WORDS = {"str": "a text", "int": "a whole number", "tuple[str, ...]": "a tuple of texts"}


class NameTaken(PluginError):
    """Two things of one kind have one name.

    Attributes:
        by: The plugin whose thing has the name.
    """

    def __init__(self, message: str, *, by: str) -> None:
        super().__init__(message)
        self.by = by


class Registry(Generic[T]):
    """Things of one kind by name, in the order in which they are asked."""

    def __init__(self, kind: str, expected: type[T], *, key: str = "name", titles: bool = False) -> None:
        """Make an empty registry.

        Args:
            kind: What the things are called in messages: `backend`.
            expected: The interface they must implement.
            key: The attribute that holds a thing's name.
            titles: Whether names may have upper-case letters and spaces.
        """
        self.kind = kind
        self._rule = _TITLE if titles else _NAME
        self._expected = expected
        self._key = key
        # What the interface declares, as it is written there: `{"version": "str", "fit_pixels": "int"}`
        declared = getattr(expected, "__annotations__", {})
        self._declared = {key: "str", **{name: kind for name, kind in declared.items() if kind in _CHECKS}}
        self._items: dict[str, tuple[T, str]] = {}
        self.not_loaded = ""
        """How a hint ends where a thing is missing: with the plugins that are not loaded, and may have brought it."""

    def register(self, item: object, plugin: str) -> None:
        """Add a thing that a plugin brought.

        Raises:
            PluginError: It is of the wrong type, or has no name.
            NameTaken: Another thing has its name.
        """
        brought = f"plugin `{plugin}` registered a"
        if isinstance(item, type):
            raise PluginError(f"{brought} class where a {self.kind} is expected: write `{item.__name__}()`")
        if not isinstance(item, self._expected):
            raise PluginError(f"{brought} {type(item).__name__} where a {self.kind} is expected")
        for attribute, kind in self._declared.items():
            if kind != "str" and not hasattr(item, attribute):
                continue  # it may come later; a text says what the thing is
            value = getattr(item, attribute, None)
            if value is None or (value == "" and getattr(self._expected, attribute, None) != ""):
                raise PluginError(f"{brought} {self.kind} without a `{attribute}`")
            if not _CHECKS[kind](value):
                raise PluginError(f"{brought} {self.kind} whose `{attribute}` is {value!r}, not {_WORDS[kind]}")
        name: str = getattr(item, self._key)
        pattern, allowed = self._rule
        if not pattern.fullmatch(name):
            raise PluginError(f"{brought} {self.kind} called `{name}`; such names are {allowed}")
        if name in self._items:
            other = self._items[name][1]
            raise NameTaken(f"plugins `{other}` and `{plugin}` both register the {self.kind} `{name}`", by=other)
        self._items[name] = (item, plugin)

    def get(self, name: str) -> T:
        """Return the thing of that name.

        Raises:
            UnknownName: There is none; the hint offers the nearest, or names the plugin to install.
        """
        if name in self._items:
            return self._items[name][0]
        close = nearest(name, self._items)
        if way := way_to(self.kind, name, self.not_loaded):
            hint = way
        elif close:
            hint = f"did you mean {' or '.join(f'`{match}`' for match in close)}?"
        else:
            hint = f"known: {', '.join(self._items)}" if self._items else "no plugin brings one"
            hint += self.not_loaded
        raise UnknownName(f"no {self.kind} is called `{name}`", hint=hint)

    def discard(self, plugin: str) -> None:
        """Forget everything that a plugin brought."""
        self._items = {name: entry for name, entry in self._items.items() if entry[1] != plugin}

    def rebuild(self, things: Iterable[tuple[object, str]]) -> None:
        """Replace everything that is registered, and take over the order.

        Args:
            things: Each thing with the plugin that brought it.

        Raises:
            PluginError: As `register`. Nothing is replaced then.
        """
        before, self._items = self._items, {}
        try:
            for item, plugin in things:
                self.register(item, plugin)
        except PluginError:
            self._items = before
            raise

    def plugin_of(self, name: str) -> str:
        """Return the plugin that brought a thing."""
        return self._items[name][1]

    @contextmanager
    def blaming(self, name: str, *, but: tuple[type[Exception], ...] = ()) -> Iterator[None]:
        """Run a thing's own code, and turn its errors into one line that names the thing and its plugin.

        Args:
            name: The thing's name.
            but: Classes of errors that pass unchanged. Errors that olpipe raises on purpose always do.

        Raises:
            PluginError: The thing's own code failed.
        """
        with blaming(self.whose(name), but=but):
            yield

    def fault(self, name: str, what: str) -> PluginError:
        """Return the error for a thing whose own code did `what`, which its interface does not allow."""
        return PluginError(f"{self.whose(name)} failed: {what}")

    def whose(self, name: str) -> str:
        """Return how messages call a thing: with its kind, its name and its plugin."""
        return f"the {self.kind} `{name}` of the plugin `{self.plugin_of(name)}`"

    def names(self) -> tuple[str, ...]:
        """Return all names, in order."""
        return tuple(self._items)

    def from_plugin(self, plugin: str) -> tuple[str, ...]:
        """Return the names that a plugin brought."""
        return tuple(name for name, (_, owner) in self._items.items() if owner == plugin)

    def __iter__(self) -> Iterator[T]:
        return iter([item for item, _ in self._items.values()])

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __len__(self) -> int:
        return len(self._items)


@contextmanager
def blaming(whose: str, *, but: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Run a plugin's own code, and turn its errors into one line that begins with `whose`; as `Registry.blaming`."""
    passing: tuple[type[Exception], ...] = (OlpipeError, *but)
    try:
        yield
    except passing:
        raise
    except Exception as error:
        message = f"{whose} failed: {type(error).__name__}: {first_line(error)}"
        raise PluginError(message, hint="run again with OLPIPE_DEBUG=1 to see where") from error
