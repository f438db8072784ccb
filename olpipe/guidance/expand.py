"""Take apart the keywords that combine schemas: each place becomes a list of alternatives without such keywords.

`anyOf`, `oneOf`, `if`, dependencies and `not` become alternatives. `allOf` and `$ref` add their parts to the
conditions of one alternative. An alternative that no value satisfies is dropped as soon as that is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from olpipe.errors import SchemaError
from olpipe.guidance import limits
from olpipe.guidance.disjoint import disjoint
from olpipe.guidance.negate import negate
from olpipe.guidance.places import Place

TYPES = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})


@dataclass(slots=True)
class Branch:
    """One alternative of a place. A value must satisfy every schema in it.

    Attributes:
        parts: The schemas that apply. Their combining keywords are taken apart already; only their other keywords
            count.
        types: The types that a value may still have. `integer` without `number` means whole numbers only.
        required: Names that an object must have.
        forbidden: Names that an object must not have.
        excluded: Values that are not allowed.
        pending: Schemas that are still to be taken apart, each with the keys of the schemas that led to it.
        choices: Lists of alternatives that are still to be combined with this one.
        seen: The keys of all schemas that were taken apart.
        dead: Why no value satisfies this alternative; empty while one may.
    """

    parts: list[Place] = field(default_factory=list)
    types: frozenset[str] = TYPES
    required: frozenset[str] = frozenset()
    forbidden: frozenset[str] = frozenset()
    excluded: tuple[Any, ...] = ()
    pending: list[tuple[Place, frozenset[int]]] = field(default_factory=list)
    choices: list[tuple[list[Place], ...]] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)
    dead: str = ""

    def copy(self) -> Branch:
        """Return an independent branch in the same state."""
        return Branch(
            list(self.parts),
            self.types,
            self.required,
            self.forbidden,
            self.excluded,
            list(self.pending),
            list(self.choices),
            set(self.seen),
            self.dead,
        )


class Expander:
    """Takes the places of one schema apart. The effort for the whole schema is bounded."""

    def __init__(self) -> None:
        self._effort = 0

    def branches(self, places: Iterable[Place]) -> tuple[list[Branch], str]:
        """Return the alternatives of a place, and why there are none where there are none.

        Args:
            places: The schemas that apply to the place together.

        Raises:
            SchemaError: There are too many alternatives, or a keyword cannot be enforced. The message names its path.
        """
        first = Branch(pending=[(place, frozenset()) for place in places])
        where = first.pending[0][0].path if first.pending else "$"
        waiting, done, reason = [first], [], ""
        while waiting:
            branch = waiting.pop()
            # 1. What leaves no choice.
            self._settle(branch)
            # 2. One choice: the branch becomes one branch for each option. All other choices wait for the next round.
            if branch.dead:
                reason = reason or branch.dead
            elif branch.choices:
                options = branch.choices.pop()
                waiting += [_chosen(branch, option) for option in reversed(options)]
            else:
                done.append(branch)
            if len(waiting) + len(done) > limits.MOST_ALTERNATIVES:
                raise SchemaError(f"`{where}` has more than {limits.MOST_ALTERNATIVES} alternatives")
        return done, reason

    def _settle(self, branch: Branch) -> None:
        """Take apart all pending schemas of a branch. Choices that they contain are noted, but not made."""
        while branch.pending and not branch.dead:
            self._effort += 1
            if self._effort > limits.MOST_EFFORT:
                raise SchemaError("the schema combines too many schemas", hint="use fewer `anyOf`, `allOf` and `not`")
            place, above = branch.pending.pop(0)
            if place.schema is True:
                continue
            if place.schema is False:
                branch.dead = f"`{place.path}` allows nothing"
                continue
            if place.key in above:
                raise SchemaError(f"`{place.path}` refers to itself and says nothing else")
            if place.key not in branch.seen:
                branch.seen.add(place.key)
                _narrow(branch, place)
                later, branch.pending = branch.pending, []
                _take(branch, place, above | {place.key})
                branch.pending += later  # the parts of a part come before its neighbours: the order in the document


def _chosen(branch: Branch, option: Sequence[Place]) -> Branch:
    """Return a branch that has the schemas of one option, too."""
    branch = branch.copy()
    branch.pending += [(place, frozenset()) for place in option]
    return branch


def _narrow(branch: Branch, place: Place) -> None:
    """Note the types and names of a schema: they show early when no value satisfies a branch."""
    schema = place.schema
    if "type" in schema:
        types = {schema["type"]} if isinstance(schema["type"], str) else set(schema["type"])
        branch.types &= types | {"integer"} if "number" in types else types
        if not branch.types:
            branch.dead = f"no type is left at `{place.path}`"
    branch.required |= set(schema.get("required", ()))
    properties = schema.get("properties", {})
    branch.forbidden |= {name for name, part in properties.items() if part is False}
    if branch.required & branch.forbidden:
        branch.types -= {"object"}
        if not branch.types:
            name = min(branch.required & branch.forbidden)
            branch.dead = f"`{name}` is required and not allowed at `{place.path}`"


def _take(branch: Branch, place: Place, above: frozenset[int]) -> None:
    """Queue the schemas that a schema combines, and keep the schema for its other keywords."""
    schema = place.schema
    # 1. Parts that must hold, too.
    for keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
        if keyword in schema:
            branch.pending.append((place.target(keyword), above))
    for number, part in enumerate(schema.get("allOf", ())):
        branch.pending.append((place.within(f"allOf[{number}]", part), above))
    # 2. Parts of which one must hold.
    if "anyOf" in schema:
        options = [place.within(f"anyOf[{number}]", part) for number, part in enumerate(schema["anyOf"])]
        branch.choices.append(tuple([option] for option in options))
    if "oneOf" in schema:
        branch.choices.append(tuple(_one_of(place)))
    if "if" in schema and ("then" in schema or "else" in schema):
        branch.choices.append(tuple(_condition(place)))
    # 3. A part that must not hold.
    if "not" in schema:
        _take_not(branch, place.within("not", schema["not"]))
    # 4. Names that need other names or schemas.
    needs = schema.get("dependentRequired", {})
    if len(needs) > limits.MOST_DEPENDENCIES:
        branch.choices.append(_dependencies_at_once(place, needs))
    else:
        for name, names in needs.items():
            branch.choices.append(_dependency(place, "dependentRequired", name, {"required": [name, *names]}))
    for name, part in schema.get("dependentSchemas", {}).items():
        together = {"required": [name], "allOf": [part]}
        branch.choices.append(_dependency(place, "dependentSchemas", name, together))
    branch.parts.append(place)


def _one_of(place: Place) -> list[list[Place]]:
    """Return the options of `oneOf`, each with the opposite of the options that it might overlap with.

    Where a grammar cannot express the opposite, or where there would be too many alternatives, an overlap is found only
    when the finished document is judged.
    """
    options = [place.within(f"oneOf[{number}]", part) for number, part in enumerate(place.schema["oneOf"])]
    alternatives = []
    for option in options:
        others = [other for other in options if other is not option and not disjoint(option, other)]
        opposites = [_not(other) for other in others if negate(other)]
        if prod(len(negate(other)) for other in others) * len(options) > limits.MOST_ALTERNATIVES:
            opposites = []
        alternatives.append([option, *opposites])
    return alternatives


def _condition(place: Place) -> list[list[Place]]:
    """Return the two ways to satisfy `if`: with its condition, or against it.

    The second way is missing where a grammar cannot express the opposite of the condition.
    """
    condition = place.within("if", place.schema["if"])
    then = place.within("then", place.schema.get("then", True))
    otherwise = place.within("else", place.schema.get("else", True))
    alternatives = [[condition, then]]
    if negate(condition):
        alternatives.append([_not(condition), otherwise])
    return alternatives


def _not(place: Place) -> Place:
    """Return a schema that says that `place` does not hold. `negate` must know its opposite."""
    return place.derive("opposite", lambda: [("not", {"not": place.raw})])[0]


def _take_not(branch: Branch, place: Place) -> None:
    """Add to a branch that a schema does not hold: as excluded values, or as a choice between opposites."""
    schema = place.schema
    if schema is True or schema == {}:
        branch.dead = f"`{place.path}` allows nothing"
        return
    if schema is False:
        return
    if set(schema) <= {"enum", "const"}:
        branch.excluded += (*schema.get("enum", ()), *([schema["const"]] if "const" in schema else ()))
        return
    opposites = negate(place)
    if not opposites:
        words = ", ".join(f"`{keyword}`" for keyword in schema)
        raise SchemaError(f"`{place.path}` cannot be enforced: no grammar expresses the opposite of {words}")
    branch.choices.append(tuple([opposite] for opposite in opposites))


def _dependency(place: Place, keyword: str, name: str, together: dict[str, Any]) -> tuple[list[Place], ...]:
    """Return the two ways to satisfy a dependency: the object has everything, or it does not have the name."""
    without = {"properties": {name: False}}
    made = place.derive(f"{keyword}.{name}", lambda: [(f"{keyword}.{name}", together), (f"{keyword}.{name}", without)])
    return [made[0]], [made[1]]


def _dependencies_at_once(place: Place, needs: Mapping[str, list[str]]) -> tuple[list[Place], ...]:
    """Return two ways to satisfy many dependencies: the object has all their names, or none of them.

    There are more ways, but one choice for each dependency would make too many alternatives.
    """
    step = "dependentRequired"
    everything = {"required": sorted({name for names in needs.values() for name in names})}
    nothing = {"properties": dict.fromkeys(needs, False)}
    made = place.derive(step, lambda: [(step, everything), (step, nothing)])
    return [made[0]], [made[1]]
