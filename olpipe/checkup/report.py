"""What a report on the machine consists of: sections with rows, facts for programs, and what to do next."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from olpipe.errors import OlpipeError, first_line

logger = logging.getLogger(__name__)

State = Literal["ok", "", "note", "fail"]
"""How something is: well, neither well nor bad, worth a look, or so bad that models cannot run."""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was found.

    Attributes:
        name: What was looked at.
        text: What was found, in a few words.
        state: How it is.
    """

    name: str
    text: str
    state: State = ""


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do.

    Attributes:
        command: The command to run.
        reason: What is wrong, and what the command does about it.
    """

    command: str
    reason: str


@dataclass(slots=True)
class Section:
    """What was found about one part of the machine.

    Attributes:
        name: What programs call it.
        title: What people call it.
        rows: What was found, for people.
        facts: The same, for programs.
        steps: What to do about it.
    """

    name: str
    title: str
    rows: list[Row] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    def add(self, name: str, text: str, state: State = "") -> None:
        """Add a row."""
        self.rows.append(Row(name, text, state))

    def advise(self, command: str, reason: str) -> None:
        """Add something to do."""
        self.steps.append(Step(command, reason))

    def to_json(self) -> dict[str, Any]:
        """Return everything for programs."""
        rows = [{"name": row.name, "state": row.state or "fact", "text": row.text} for row in self.rows]
        return {**self.facts, "findings": rows}


@dataclass(frozen=True, slots=True)
class Report:
    """A report on the machine."""

    sections: tuple[Section, ...]

    @property
    def is_well(self) -> bool:
        """Whether models can run: nothing that is needed is missing."""
        return all(row.state != "fail" for section in self.sections for row in section.rows)

    @property
    def steps(self) -> list[Step]:
        """What to do next, each thing once."""
        found: dict[str, Step] = {}
        for section in self.sections:
            for step in section.steps:
                found.setdefault(step.command, step)
        return list(found.values())

    def to_json(self) -> Mapping[str, Any]:
        """Return everything for programs."""
        return {
            "well": self.is_well,
            **{section.name: section.to_json() for section in self.sections},
            "next": [{"command": step.command, "reason": step.reason} for step in self.steps],
        }


def examined(checks: Iterable[tuple[str, str, Callable[[Section], None]]]) -> Report:
    """Run checks. One that fails says so in its section, and the others go on.

    Args:
        checks: For each section its name, its title, and a function that fills it.
    """
    sections = []
    for name, title, check in checks:
        section = Section(name, title)
        attempt(section, title.lower(), partial(check, section))
        sections.append(section)
    return Report(tuple(sections))


def attempt(section: Section, what: str, check: Callable[[], None]) -> None:
    """Run one check. If it fails, a row says so."""
    try:
        check()
    except OlpipeError as error:
        section.add(what, f"could not be looked at: {error.message}", "note")
    except Exception as error:  # a report that ends in a traceback helps nobody
        logger.debug("the check of %s failed", what, exc_info=error)
        section.add(what, f"could not be looked at: {type(error).__name__}: {first_line(error)}", "note")
