"""The argument and the options that say which photos a batch is about, and which of them are described again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from olpipe.errors import UsageError
from olpipe.record import FailureKind

if TYPE_CHECKING:
    from olpipe.imaging.discover import Discovery
    from olpipe.interfaces import ImageLoader
    from olpipe.pipeline.run import BatchOptions
    from olpipe.pipeline.selection import Selection

Command = Callable[..., Any]

ALL = "all"
_AGO = re.compile(r"(\d+(?:\.\d+)?)([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 7 * 24}


class Since(click.ParamType[datetime]):
    """A moment: a date or a time as ISO 8601 writes it, or how long ago it was: `12h`, `7d`, `2w`."""

    name = "since"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the moment. What says no time zone is meant as the clock of this machine shows it."""
        if isinstance(value, datetime):
            return value
        ago = _AGO.fullmatch(value.strip().lower())
        try:
            if ago is not None:
                return datetime.now().astimezone() - timedelta(hours=float(ago[1]) * _HOURS[ago[2]])
            return datetime.fromisoformat(value.strip()).astimezone()
        except (ValueError, OverflowError, OSError):
            self.fail(
                f"`{value}` is no date; write one like 2026-11-20, or how long ago it was: 12h, 7d, 2w", param, ctx
            )


class RetryingCommand(click.Command):
    """A command whose option `--retry-failed` may stand alone. What follows it then is not its value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give the option its usual value where it stands alone."""
        end = args.index("--") if "--" in args else len(args)
        said = [f"--retry-failed={ALL}" if text == "--retry-failed" else text for text in args[:end]]
        return super().parse_args(ctx, said + args[end:])


_INPUTS = (
    click.argument("inputs", nargs=-1, metavar="INPUT..."),
    click.option(
        "--files-from",
        type=click.File("rb"),
        metavar="FILE|-",
        help="Take the names in this list, too, one on each line or with a NUL byte after each; `-` reads it from"
        " stdin.",
    ),
    click.option(
        "--column",
        metavar="NAME",
        help="The list of --files-from is a table, CSV or Parquet, and the names stand in this column.",
    ),
    click.option(
        "--exclude",
        multiple=True,
        metavar="PATTERN",
        help="Leave out files and folders of this name, like 'thumb*'; with a `/`, of this path. May be repeated.",
    ),
)

_SELECTION = (
    click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Describe only the first N photos."),
    click.option(
        "--sample",
        type=click.IntRange(min=1),
        metavar="N",
        help="Describe only N photos, from all parts of the folders. The same N are chosen every time.",
    ),
    click.option(
        "--since",
        type=Since(),
        metavar="DATE|AGE",
        help="Describe only photos whose file has changed since then: 2026-11-20, 12h, 7d, 2w.",
    ),
    click.option(
        "--retry-failed",
        "retry",
        type=click.Choice([ALL, *(kind.value for kind in FailureKind)]),
        multiple=True,
        metavar="[=KIND]",
        help="Try photos again that failed before; with a kind, like `--retry-failed=context`, only those that failed"
        " in this way. May be repeated.",
    ),
    click.option("--fresh", is_flag=True, help="Describe photos again that have a record or a failure."),
)

MOST_NEAR = 16
"""In how many of 64 bits sketches may differ at most. Photos of different things differ in 16 and more."""

_HANDLING = (
    click.option(
        "--near",
        type=click.IntRange(0, MOST_NEAR),
        metavar="N",
        help="Give photos that look nearly the same one record: those whose sketches differ in at most N of 64 bits,"
        " 0 to 16. 4 is careful. Copies name the first photo, and have no boxes.",
    ),
    click.option(
        "--sandbox",
        is_flag=True,
        help="Decode photos in processes of their own. A file that crashes one, or takes too long or too much"
        " memory, is one failed photo.",
    ),
)


@dataclass(frozen=True, slots=True)
class Named:
    """What the user named.

    Attributes:
        inputs: Folders, photos and patterns.
        listed: The names in a list; None where none was given.
        exclude: Names and patterns of what is left out.
    """

    inputs: Sequence[str]
    listed: Sequence[str] | None
    exclude: Sequence[str]

    def find(self, loaders: Iterable[ImageLoader], *, leave_out: Path, cache: Path) -> Discovery:
        """Find the photos. What compressed archives hold is kept in a folder of the cache.

        Raises:
            UsageError: Nothing was named, or what was named has no photos.
        """
        from olpipe.imaging.discover import discover

        if not self.inputs and not self.listed:
            what = "no photos are named" if self.listed is None else "the list of `--files-from` is empty"
            raise UsageError(what, hint="name a folder, or a list of photos with `--files-from`")
        suffixes = {suffix for loader in loaders for suffix in loader.suffixes}
        return discover(
            self.inputs,
            suffixes,
            leave_out=leave_out,
            exclude=self.exclude,
            listed=self.listed or (),
            kept_listings=cache / "archives",
        )


def inputs(command: Command) -> Command:
    """Give a command the argument and the options that name photos."""
    return _with(_INPUTS, command)


def named(given: dict[str, Any]) -> Named:
    """Take what `inputs` gave to a command out of its arguments, and read the list.

    Raises:
        UsageError: A column is named and no table, or the table has no such column.
    """
    files, column = given.pop("files_from"), given.pop("column")
    if column is not None and files is None:
        raise UsageError("`--column` names a column, and no table is given", hint="give it with `--files-from FILE`")
    return Named(given.pop("inputs"), None if files is None else _listed(files, column), given.pop("exclude"))


def _listed(files: IO[bytes], column: str | None) -> list[str]:
    """Return the names in a list, or in a column of a table."""
    if column is None:
        from olpipe.imaging.file_list import names_in

        return names_in(files.read())
    from olpipe.imaging.table_list import paths_in

    return paths_in(files, column)


def selection(command: Command) -> Command:
    """Give a command the options of a selection, and those that say how the photos are handled."""
    return _with((*_SELECTION, *_HANDLING), command)


def batch_options(given: dict[str, Any], output: Path, *, page: bool) -> BatchOptions:
    """Take the options that `selection` gave to a command out of its arguments, and return them for a run.

    Args:
        given: The arguments by name.
        output: The output folder.
        page: Whether a page is made.
    """
    from olpipe.pipeline.copies import EQUAL
    from olpipe.pipeline.run import BatchOptions

    near = given.pop("near")
    near = EQUAL if near is None else near
    return BatchOptions(output, selected(given), page=page, near=near, sandbox=given.pop("sandbox"))


def selected(given: dict[str, Any]) -> Selection:
    """Take the options that `selection` gave to a command out of its arguments.

    Args:
        given: The arguments by name. The five are removed.
    """
    from olpipe.pipeline.selection import Selection

    since, retry = given.pop("since"), given.pop("retry")
    return Selection(
        since_ns=None if since is None else int(since.timestamp() * 1e9),
        retry=frozenset(FailureKind) if ALL in retry else frozenset(map(FailureKind, retry)),
        **{name: given.pop(name) for name in ("sample", "limit", "fresh")},
    )


def _with(options: Sequence[Command], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
