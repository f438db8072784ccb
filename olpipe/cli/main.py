"""Where `olpipe` starts: read settings, run the command, turn errors into one line, a hint and an exit code."""

from __future__ import annotations

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
    from olpipe import logs
    from olpipe.cli.app import App
    from olpipe.settings import Settings

    settings = Settings.read()
    logs.configure(debug=settings.debug)
    ctx.obj = App(settings)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
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
    sys.exit(code if isinstance(code, int) else 0)


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
