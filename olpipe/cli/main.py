"""Where `olpipe` starts: read settings, run the command, turn errors into one line, a hint and an exit code."""

from __future__ import annotations

import io
import os
import re
import sys

import click

from olpipe import __version__
from olpipe.cli.group import COMPLETE, HELP_ASKED, HELP_OPTIONS, LazyGroup
from olpipe.errors import OlpipeError, UsageError

INTERRUPTED = 130

_COMMANDS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_WITHOUT_SETTINGS = ("help", "completion")


def _show_version(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    """Show the version, and that of a server that runs and has another one."""
    if not wanted or ctx.resilient_parsing:
        return
    from olpipe.cli.version import other_server

    click.echo(f"olpipe version is {__version__}")
    if warning := other_server():
        click.echo(f"warning: {warning}", err=True)
    ctx.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": HELP_OPTIONS, "max_content_width": 100},
    epilog="`olpipe help COMMAND` explains a command.",
)
@click.option(
    "-v",
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Run vision-language models on your own machine. Photos go in, and one JSON record for each photo comes out."""
    if ctx.invoked_subcommand in _WITHOUT_SETTINGS:
        return
    # Imported here, because `olpipe --help` ends before this line and would take twice as long with them.
    import logging

    from olpipe import logs
    from olpipe.cli.app import App
    from olpipe.guidance import limits
    from olpipe.settings import Settings
    from olpipe.settings.warnings import setting_warnings

    try:
        settings = Settings.read()
    except UsageError:
        if not ctx.meta.get(HELP_ASKED):
            raise
        from olpipe.cli.help import show_help

        show_help(ctx, *filter(None, [ctx.invoked_subcommand]))  # help is needed most where something is wrong
        ctx.exit()
    logs.configure(debug=settings.debug, verbosity=settings.verbosity)
    limits.configure(largest_schema=settings.max_schema, effort=settings.grammar_effort)
    for warning in setting_warnings(_plugin_names):
        logging.getLogger(__name__).warning("%s", warning)
    ctx.obj = App(settings)
    ctx.call_on_close(ctx.obj.close)


def _plugin_names() -> set[str]:
    """Return what installed plugins are called: their own names, and those of the distributions that bring them."""
    from olpipe import entry_points

    groups = (entry_points.PLUGINS, entry_points.COMMANDS)
    found = [entry_point for group in groups for entry_point in entry_points.installed(group)]
    return {name for one in found for name in (one.name, entry_points.distribution(one)) if name}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    _write_any_text()
    if asked := os.environ.get(COMPLETE):
        from olpipe.cli.completion.answer import answer

        sys.stdout.write(answer(cli, asked))
        sys.exit(0)
    try:
        code = cli.main(args=arguments, standalone_mode=False)
        sys.stdout.flush()
    except OlpipeError as error:
        code = _fail(error.message, error.hint, error.exit_code)
    except click.ClickException as error:
        from olpipe.cli.usage_errors import is_only_a_name, told

        code = _show_help(error) if is_only_a_name(error) else _fail(*told(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except Exception as error:  # noqa: BLE001 - a fault of ours must not end in a traceback that nobody can use
        code = _fail_unexpectedly(error)
    sys.exit(code if isinstance(code, int) else 0)


def _show_help(error: click.ClickException) -> int:
    """Show the help of a command that can do nothing without arguments, as `olpipe` alone does."""
    click.echo(error.format_message())
    return 0


def _write_any_text() -> None:
    """Let every text be written: a file gets UTF-8, and a terminal gets a stand-in for what it cannot show."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower().replace("-", "") != "utf8":
            if stream.isatty():
                stream.reconfigure(errors="backslashreplace")
            else:
                stream.reconfigure(encoding="utf-8")


def _fail_unexpectedly(error: Exception) -> int:
    """Keep the traceback in a file, and say in one line what happened and where that file is."""
    from olpipe.cli.faults import fault_of

    fault = fault_of(error)
    return _fail(fault.message, fault.hint, 1)


def _fail(message: str, hint: str | None, code: int) -> int:
    from olpipe.settings import debugging

    if debugging():
        import traceback

        traceback.print_exc()
    click.echo(f"error: {_one_line(message)}", err=True)
    if hint:
        click.echo(f"hint: {_one_line(hint)}", err=True)
    return code


def _one_line(text: str) -> str:
    """Write out what would begin a new line, or what a terminal would take for a command."""
    return _COMMANDS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
