"""Run the commands that plugins bring, as `olpipe` does: for tests of plugins."""

from __future__ import annotations

import importlib

from olpipe import entry_points


def run_command(name: str, *arguments: str) -> str:
    """Run a command by the name that its entry point gives it, in this process.

    Args:
        name: The word after `olpipe`.
        *arguments: The words after that.

    Returns:
        What it wrote to stdout.

    Raises:
        LookupError: No plugin brings such a command.
        click.ClickException: The arguments are wrong. Anything else that the command raises comes out, too.
    """
    import click
    from click.testing import CliRunner

    found = [entry for entry in entry_points.installed(entry_points.COMMANDS) if entry.name == name]
    if not found:
        raise LookupError(f"no plugin brings a command `{name}`")
    group = click.Group("olpipe")
    importlib.import_module(found[0].module).register_commands(cli=group)
    result = CliRunner().invoke(group, [name, *arguments], catch_exceptions=False, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.stdout
