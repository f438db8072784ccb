"""Write a report on the machine for people: a table for each section, then what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import click

from olpipe.cli import words

if TYPE_CHECKING:
    from olpipe.checkup.report import Report, Section, State

_COLOURS: Mapping[State, str] = {"ok": "green", "note": "yellow", "fail": "red"}
_MARK_WIDTH = 4
_USUAL_NAME = 20
"""A name that is longer makes the column of its own section wider, and not that of all."""


def report_lines(report: Report) -> Iterator[str]:
    """Yield the lines of a report. The marks are words, so they can be read without their colours."""
    columns = words.screen_columns()
    names = [row.name for section in report.sections for row in section.rows]
    widest = max((len(name) for name in names if len(name) <= _USUAL_NAME), default=0)
    for section in report.sections:
        yield click.style(section.title, bold=True)
        yield words.table(_rows(section, widest), indent="  ", padding=2, columns=columns)
        yield ""
    yield click.style("What to do next", bold=True)
    for step in report.steps:
        yield f"  {click.style(step.command, bold=True)}"
        yield words.table([(step.reason,)], indent="      ", columns=columns)
    if not report.steps:
        yield "  nothing: everything is there"


def _rows(section: Section, widest: int) -> list[tuple[str, str, str]]:
    """Return the cells of a section. The columns of all sections begin at the same places."""
    return [
        (click.style(row.state.ljust(_MARK_WIDTH), fg=_COLOURS.get(row.state)), row.name.ljust(widest), row.text)
        for row in section.rows
    ]
