"""Where `olpipe` starts: read settings, run the command, turn errors into one line, a hint and an exit code."""

from __future__ import annotations

import io
import os
import sys

import click

from olpipe import __version__
from olpipe.cli.group import LazyGroup
from olpipe.errors import OlpipeError

INTERRUPTED = 130


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-v", "--version", message="olpipe version is %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Run vision-language models on your own machine. Photos go in, and one JSON record for each photo comes out."""
    # Imported here, because `olpipe --help` ends before this line and would take twice as long with them.
    import logging

    from olpipe import logs
    from olpipe.cli.app import App
    from olpipe.guidance import limits
    from olpipe.settings import Settings
    from olpipe.settings.warnings import setting_warnings

    settings = Settings.read()
    logs.configure(debug=settings.debug, verbosity=settings.verbosity)
    limits.configure(largest_schema=settings.max_schema, effort=settings.grammar_effort)
    for warning in setting_warnings(_plugin_names):
        logging.getLogger(__name__).warning("%s", warning)
    ctx.obj = App(settings)


def _plugin_names() -> set[str]:
    """Return what installed plugins are called: their own names, and those of the distributions that bring them."""
    from olpipe import entry_points

    groups = (entry_points.PLUGINS, entry_points.COMMANDS)
    found = [entry_point for group in groups for entry_point in entry_points.installed(group)]
    return {name for one in found for name in (one.name, entry_points.distribution(one)) if name}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    _write_any_text()
    try:
        code = cli.main(args=arguments, standalone_mode=False)
        sys.stdout.flush()
    except OlpipeError as error:
        code = _fail(error.message, error.hint, error.exit_code)
    except click.ClickException as error:
        usage = getattr(error, "ctx", None)
        hint = f"run `{usage.command_path} --help`" if usage is not None else None
        code = _fail(_first_lower(error.format_message()), hint, error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except Exception as error:  # noqa: BLE001 - a fault of ours must not end in a traceback that nobody can use
        code = _fail_unexpectedly(error)
    sys.exit(code if isinstance(code, int) else 0)


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
    click.echo(f"error: {message}", err=True)
    if hint:
        click.echo(f"hint: {hint}", err=True)
    return code


def _first_lower(text: str) -> str:
    return text[:1].lower() + text[1:].rstrip(".")
