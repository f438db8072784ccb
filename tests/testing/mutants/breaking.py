"""How plugins are broken on purpose: each in one way, with the contract's test that must notice."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Plugin:
    """A good plugin, or one with a fault.

    Attributes:
        name: How tests call it.
        make: Makes it.
        caught_by: Tests of the contract that must fail; none for a good one.
        fault: What it does wrong.
    """

    name: str
    make: Callable
    caught_by: tuple[str, ...] = ()
    fault: str = ""

    def __str__(self):
        return self.name


class Mutants(list):
    """A good plugin, then those with a fault."""

    def __init__(self, good):
        super().__init__([Plugin("good", good)])

    def broken(self, *caught_by):
        """Mark a class or a function as a plugin with a fault, which its documentation names."""

        def add(make):
            assert make.__doc__, f"{make.__name__} does not say what is wrong with it"
            self.append(Plugin(make.__name__, make, caught_by, make.__doc__))
            return make

        return add


def needed(plugin, test):
    """Say whether a test has to be run: all are for a good plugin, and those that must fail for a broken one."""
    return not plugin.caught_by or test in plugin.caught_by
