"""Named things of one kind, each remembered with the plugin that brought it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from olpipe.errors import PluginError, UnknownName, nearest

T = TypeVar("T")


class Registry(Generic[T]):
    """Things by name, in order of registration."""

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
        self._items: dict[str, tuple[T, str]] = {}

    def register(self, item: object, plugin: str) -> None:
        """Add a thing that a plugin brought.

        Raises:
            PluginError: It is of the wrong type, has no name, or its name is taken.
        """
        if not isinstance(item, self._expected):
            found = type(item).__name__
            raise PluginError(f"plugin `{plugin}` registered a {found} where a {self.kind} is expected")
        name = getattr(item, self._key, None)
        if not isinstance(name, str) or not name:
            raise PluginError(f"plugin `{plugin}` registered a {self.kind} without a `{self._key}`")
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
        known = "did you mean " + " or ".join(f"`{match}`" for match in close) if close else None
        hint = known or (f"known: {', '.join(self._items)}" if self._items else "no plugin brings one")
        raise UnknownName(f"no {self.kind} is called `{name}`", hint=hint)

    def discard(self, plugin: str) -> None:
        """Forget everything that a plugin brought."""
        self._items = {name: entry for name, entry in self._items.items() if entry[1] != plugin}

    def names(self) -> tuple[str, ...]:
        """Return all names, in order of registration."""
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
