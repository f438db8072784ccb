"""All that a schema says, as definitions that name each other, and how deep each must nest."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from olpipe.errors import SchemaError
from olpipe.guidance import limits
from olpipe.guidance.expand import Expander
from olpipe.guidance.places import Document, Place
from olpipe.guidance.shapes import ArrayShape, ObjectShape, Places, Scalar, Shape
from olpipe.guidance.shaping import shapes

Key = tuple[int, ...]


@dataclass(slots=True)
class Definition:
    """What applies to one place.

    Attributes:
        places: The schemas that apply together.
        shapes: The alternatives they leave.
        reason: Why there are none.
        height: Levels of recursion that its smallest value has; infinite when there is no value.
        group: Definitions with the same number refer to each other in a circle.
    """

    places: Places
    shapes: list[Shape]
    reason: str = ""
    height: float = math.inf
    group: int = -1


class Definitions:
    """The definitions of one schema, made from the root down.

    Attributes:
        top: What applies to the whole document.
        uses: How often each combination of schemas applies to a part.
    """

    def __init__(self, schema: object) -> None:
        """Make all definitions.

        Raises:
            SchemaError: There are too many, or a keyword cannot be held.
        """
        self._expander = Expander()
        self._all: dict[Key, Definition] = {}
        self.uses: Counter[Key] = Counter()
        root = (Document(schema).root(),)
        waiting: list[Places] = [root]
        while waiting:
            places = waiting.pop()
            if key(places) in self._all:
                continue
            if len(self._all) >= limits.MOST_DEFINITIONS:
                raise SchemaError(f"the schema has more than {limits.MOST_DEFINITIONS} combinations of its parts")
            definition = self._define(places)
            self._all[key(places)] = definition
            parts = [child for shape in definition.shapes for child in children(shape)]
            self.uses.update(map(key, parts))
            waiting += parts
        self.top = self._all[key(root)]
        self._group(key(root))
        self._measure()

    def of(self, places: Places) -> Definition:
        """Return what schemas that apply together say."""
        return self._all[key(places)]

    def _define(self, places: Places) -> Definition:
        branches, reason = self._expander.branches(places)
        found = [shape for branch in branches for shape in shapes(branch)]
        if not found and not reason:
            reason = f"no value satisfies `{places[0].path}`"
        return Definition(places, found, reason)

    def _group(self, root: Key) -> None:
        """Number the circles of definitions that refer to each other (Tarjan's algorithm, without recursion)."""
        order: dict[Key, int] = {}
        lowest: dict[Key, int] = {}
        open_: list[Key] = []
        path: list[tuple[Key, Iterator[Key]]] = []

        def enter(name: Key) -> None:
            order[name] = lowest[name] = len(order)
            open_.append(name)
            path.append((name, iter([key(child) for shape in self._all[name].shapes for child in children(shape)])))

        enter(root)
        while path:
            name, following = path[-1]
            for child in following:
                if child not in order:
                    enter(child)
                    break
                if self._all[child].group < 0:
                    lowest[name] = min(lowest[name], order[child])
            else:
                path.pop()
                if path:
                    lowest[path[-1][0]] = min(lowest[path[-1][0]], lowest[name])
                if lowest[name] == order[name]:
                    start = open_.index(name)
                    for member in open_[start:]:
                        self._all[member].group = order[name]
                    del open_[start:]

    def _measure(self) -> None:
        """Find each definition's least height: what needs least is known first, and the rest follows."""
        changed = True
        while changed:
            changed = False
            for definition in reversed(self._all.values()):
                height = min((self.shape_height(shape, definition) for shape in definition.shapes), default=math.inf)
                if height < definition.height:
                    definition.height = height
                    changed = True

    def child_height(self, child: Places, parent: Definition) -> float:
        """Return the least height of a part of a value of `parent`."""
        definition = self._all[key(child)]
        return definition.height + (definition.group == parent.group)

    def shape_height(self, shape: Shape, parent: Definition) -> float:
        """Return the least height of a value of one shape."""
        needs = max((self.child_height(child, parent) for child in needed(shape)), default=0)
        if isinstance(shape, ObjectShape):
            return max(needs, self._height_of_least(shape, parent))
        if isinstance(shape, ArrayShape) and shape.unique:
            values = self.values(shape)
            return needs if values is None or len(values) >= shape.least else math.inf
        return needs

    def _height_of_least(self, shape: ObjectShape, parent: Definition) -> float:
        """Return the least height of as many properties as an object must have beyond those it requires."""
        missing = shape.least - len(shape.required)
        if missing <= 0:
            return 0
        optional = (child for name, child in shape.properties.items() if name not in shape.required)
        heights = sorted(self.child_height(child, parent) for child in optional)
        if missing <= len(heights) and heights[missing - 1] < math.inf:
            return heights[missing - 1]
        return min((self.child_height(child, parent) for _, child in shape.maps), default=math.inf)

    def values(self, shape: ArrayShape) -> list[object] | None:
        """Return all values of an array's items when they are few; None when they are many."""
        if shape.prefix:
            return None
        values: list[object] = []
        for item in self.of(shape.rest).shapes:
            if not isinstance(item, Scalar) or item.values is None:
                return None
            values += item.values
        return values


def key(places: Iterable[Place]) -> Key:
    """Return what tells a combination of schemas from others."""
    return tuple(dict.fromkeys(place.settled().key for place in places if place.key is not True))


def children(shape: Shape) -> Iterator[Places]:
    """Yield the schemas of all parts of a value."""
    if isinstance(shape, ArrayShape):
        yield from shape.prefix
        yield shape.rest
    elif isinstance(shape, ObjectShape):
        yield from shape.properties.values()
        yield from (places for _, places in shape.maps)


def needed(shape: Shape) -> Iterator[Places]:
    """Yield the schemas of those parts that every value has."""
    if isinstance(shape, ArrayShape):
        yield from shape.prefix[: shape.least]
        if shape.least > len(shape.prefix):
            yield shape.rest
    elif isinstance(shape, ObjectShape):
        yield from (places for name, places in shape.properties.items() if name in shape.required)
