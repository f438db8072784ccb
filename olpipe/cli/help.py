"""`olpipe help`: explain a command, as its `--help` does."""

from __future__ import annotations

import click

from olpipe.cli.group import ALIASES, LazyGroup


@click.command("help")
@click.argument("command", nargs=-1)
@click.pass_context
def help_(ctx: click.Context, command: tuple[str, ...]) -> None:
    """Explain COMMAND, or without COMMAND, list all commands."""
    show_help(ctx.find_root(), *command)


def show_help(root: click.Context, *names: str) -> None:
    """Write the help page of a command.

    Args:
        root: The context of the whole command line.
        *names: The command, or another name for it, and a command within it; none for the page that lists all.

    Raises:
        UsageError: There is no such command.
    """
    context = root
    for name in names:
        group = context.command
        if not isinstance(group, click.Group):
            raise click.UsageError(f"`{context.command_path}` has no commands, so `{name}` is too much", context)
        command = group.get_command(context, name)
        if command is None and isinstance(group, LazyGroup):
            raise group.no_such_command(root, name)
        if command is None:
            raise click.UsageError(f"no such command '{name}'", context)
        context = command.context_class(command, info_name=ALIASES.get(name, name), parent=context)
    click.echo(context.get_help())
