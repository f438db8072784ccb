"""Take a whole schema apart into definitions that refer to each other, and find how deep each must nest.

A definition is what a combination of schemas allows at a place. Its parts, such as properties and items, are
definitions again. In a recursive schema they lead back to it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from olpipe.errors import SchemaError
from olpipe.guidance import limits
from olpipe.guidance.expand import Branch, Expander
from olpipe.guidance.numbers import limit_passed
from olpipe.guidance.places import Document, Place
from olpipe.guidance.shapes import ArrayShape, ObjectShape, Places, Scalar, Shape
from olpipe.guidance.shaping import shapes

Key = tuple[int, ...]
"""What tells a combination of schemas from others."""


@dataclass(slots=True)
class Definition:
    """What a combination of schemas allows.

    Attributes:
        places: The schemas that apply together.
        shapes: The alternatives that they leave.
        reason: Why there are none, where there are none.
        limit: The largest number that is generated, where there are none because all are beyond it; else None.
        height: How often its smallest value recurs; infinite when it has no finite value.
        group: Definitions with the same number refer to each other in a circle.
    """

    places: Places
    shapes: list[Shape]
    reason: str = ""
    limit: int | float | None = None
    height: float = math.inf
    group: int = -1


class Definitions:
    """The definitions of one schema, made from the root down.

    Attributes:
        top: The definition of the whole document.
        uses: How many parts each combination of schemas applies to, by its key.
    """

    def __init__(self, schema: object) -> None:
        """Make all definitions.

        Raises:
            SchemaError: There are too many, or a keyword cannot be enforced.
        """
        self._expander = Expander()
        self._all: dict[Key, Definition] = {}
        self.uses: Counter[Key] = Counter()
        # 1. The definitions, from the root down.
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
        # 2. Which of them recur, and how often each must.
        self._group(key(root))
        self._measure()

    def of(self, places: Places) -> Definition:
        """Return the definition of schemas that apply together."""
        return self._all[key(places)]

    def _define(self, places: Places) -> Definition:
        branches, reason = self._expander.branches(places)
        found = [shape for branch in branches for shape in shapes(branch)]
        if not found and not reason:
            reason = f"no value satisfies `{places[0].path}`"
        return Definition(places, found, reason, None if found else _limit_passed(branches))

    def _group(self, root: Key) -> None:
        """Give definitions that refer to each other in a circle the same number.

        This is Tarjan's algorithm for strongly connected components. It keeps its own stack, because a schema may nest
        deeper than Python's recursion allows.
        """
        order: dict[Key, int] = {}  # in which order definitions were entered
        lowest: dict[Key, int] = {}  # the earliest definition that each leads back to, as far as is known
        open_: list[Key] = []  # entered, but without a group
        path: list[tuple[Key, Iterator[Key]]] = []  # from the root to the present one, with the children left to visit

        def enter(name: Key) -> None:
            order[name] = lowest[name] = len(order)
            open_.append(name)
            path.append((name, iter([key(child) for shape in self._all[name].shapes for child in children(shape)])))

        enter(root)
        while path:
            # 1. Go on to the next child that was not entered yet.
            name, following = path[-1]
            for child in following:
                if child not in order:
                    enter(child)
                    break
                if self._all[child].group < 0:
                    lowest[name] = min(lowest[name], order[child])
            else:
                # 2. All children are done. The parent leads back to everything that this definition leads back to.
                path.pop()
                if path:
                    lowest[path[-1][0]] = min(lowest[path[-1][0]], lowest[name])
                # 3. A definition that leads back to nothing before it closes a circle: all that is open from it on.
                if lowest[name] == order[name]:
                    start = open_.index(name)
                    for member in open_[start:]:
                        self._all[member].group = order[name]
                    del open_[start:]

    def _measure(self) -> None:
        """Find the height of every definition.

        The heights of definitions without parts are known at once. Each further round finds those of definitions whose
        parts are known, until a round changes nothing.
        """
        changed = True
        while changed:
            changed = False
            for definition in reversed(self._all.values()):
                height = min((self.shape_height(shape, definition) for shape in definition.shapes), default=math.inf)
                if height < definition.height:
                    definition.height = height
                    changed = True

    def child_height(self, child: Places, parent: Definition) -> float:
        """Return the least height of a part of `parent`. A part in the same circle recurs once more."""
        definition = self._all[key(child)]
        return definition.height + (definition.group == parent.group)

    def shape_height(self, shape: Shape, parent: Definition) -> float:
        """Return the least height of a value of one shape: that of the part that must recur most often."""
        needs = max((self.child_height(child, parent) for child in needed(shape)), default=0)
        if isinstance(shape, ObjectShape):
            return max(needs, self._height_of_least(shape, parent))
        if isinstance(shape, ArrayShape) and shape.unique:
            values = self.values(shape)
            return needs if values is None or len(values) >= shape.least else math.inf
        return needs

    def _height_of_least(self, shape: ObjectShape, parent: Definition) -> float:
        """Return the least height of the properties that `minProperties` asks for beyond the required ones."""
        missing = shape.least - len(shape.required)
        if missing <= 0:
            return 0
        optional = (child for name, child in shape.properties.items() if name not in shape.required)
        heights = sorted(self.child_height(child, parent) for child in optional)
        if missing <= len(heights) and heights[missing - 1] < math.inf:
            return heights[missing - 1]
        return min((self.child_height(child, parent) for _, child in shape.maps), default=math.inf)

    def values(self, shape: ArrayShape) -> list[object] | None:
        """Return all values that an array's items may have; None where they are many, or where there is a prefix."""
        if shape.prefix:
            return None
        values: list[object] = []
        for item in self.of(shape.rest).shapes:
            if not isinstance(item, Scalar) or item.values is None:
                return None
            values += item.values
        return values


def _limit_passed(branches: Iterable[Branch]) -> int | float | None:
    """Return the largest number that is generated, where a branch has numbers, but only larger ones."""
    for branch in branches:
        schemas = [place.schema for place in branch.parts]
        if {"integer", "number"} & branch.types and not any({"enum", "const"} & schema.keys() for schema in schemas):
            limit = limit_passed(schemas, integer="number" not in branch.types)
            if limit is not None:
                return limit
    return None


def key(places: Iterable[Place]) -> Key:
    """Return the key of a combination of schemas. Schemas that allow everything do not count."""
    return tuple(dict.fromkeys(place.settled().key for place in places if place.key is not True))


def children(shape: Shape) -> Iterator[Places]:
    """Yield the schemas of each part that a value of a shape may have."""
    if isinstance(shape, ArrayShape):
        yield from shape.prefix
        yield shape.rest
    elif isinstance(shape, ObjectShape):
        yield from shape.properties.values()
        yield from (places for _, places in shape.maps)


def needed(shape: Shape) -> Iterator[Places]:
    """Yield the schemas of each part that every value of a shape has."""
    if isinstance(shape, ArrayShape):
        yield from shape.prefix[: shape.least]
        if shape.least > len(shape.prefix):
            yield shape.rest
    elif isinstance(shape, ObjectShape):
        yield from (places for name, places in shape.properties.items() if name in shape.required)
