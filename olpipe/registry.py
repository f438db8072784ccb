"""Named things of one kind, each remembered with the plugin that brought it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from olpipe.errors import OlpipeError, PluginError, UnknownName, first_line, nearest

T = TypeVar("T")


class Registry(Generic[T]):
    """Things by name, in the order in which they are asked."""

    def __init__(self, kind: str, expected: type[T], *, key: str = "name") -> None:
        """Make an empty registry.

        Args:
            kind: What the things are called in messages: `backend`.
            expected: The interface they must implement.
            key: The attribute that holds a thing's name.
        """
        self.kind = kind
        self._expected = expected
        self._key = key
        # What its interface declares as a text without giving one, like a version
        self._texts = [
            name
            for name, annotation in vars(expected).get("__annotations__", {}).items()
            if annotation in ("str", str) and not hasattr(expected, name)
        ]
        self._items: dict[str, tuple[T, str]] = {}

    def register(self, item: object, plugin: str) -> None:
        """Add a thing that a plugin brought.

        Raises:
            PluginError: It is of the wrong type, has no name, or its name is taken.
        """
        if not isinstance(item, self._expected):
            found = type(item).__name__
            raise PluginError(f"plugin `{plugin}` registered a {found} where a {self.kind} is expected")
        for attribute in (self._key, *self._texts):
            text = getattr(item, attribute, None)
            if not isinstance(text, str) or not text:
                raise PluginError(f"plugin `{plugin}` registered a {self.kind} without a `{attribute}`")
        name: str = getattr(item, self._key)
        if name in self._items:
            other = self._items[name][1]
            raise PluginError(f"plugins `{other}` and `{plugin}` both register the {self.kind} `{name}`")
        self._items[name] = (item, plugin)

    def get(self, name: str) -> T:
        """Return the thing of that name.

        Raises:
            UnknownName: There is none; the hint offers the nearest.
        """
        if name in self._items:
            return self._items[name][0]
        close = nearest(name, self._items)
        known = f"did you mean {' or '.join(f'`{match}`' for match in close)}?" if close else None
        hint = known or (f"known: {', '.join(self._items)}" if self._items else "no plugin brings one")
        raise UnknownName(f"no {self.kind} is called `{name}`", hint=hint)

    def discard(self, plugin: str) -> None:
        """Forget everything that a plugin brought."""
        self._items = {name: entry for name, entry in self._items.items() if entry[1] != plugin}

    def rebuild(self, things: Iterable[tuple[object, str]]) -> None:
        """Hold other things than before, in their order, each with the plugin that brought it.

        Raises:
            PluginError: As `register`; then nothing has changed.
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
        """Run a thing's own code. An error of it is told in one line that names the thing and its plugin.

        Args:
            name: The thing.
            but: Errors that pass as they are, beside those that olpipe raises on purpose.

        Raises:
            PluginError: It failed.
        """
        passing: tuple[type[Exception], ...] = (OlpipeError, *but)
        try:
            yield
        except passing:
            raise
        except Exception as error:
            whose = f"the {self.kind} `{name}` of the plugin `{self.plugin_of(name)}`"
            message = f"{whose} failed: {type(error).__name__}: {first_line(error)}"
            raise PluginError(message, hint="run again with OLPIPE_DEBUG=1 to see where") from error

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
