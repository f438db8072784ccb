"""A command group that imports a command only when it is asked for."""

from __future__ import annotations

import importlib

import click

from olpipe import entry_points
from olpipe.errors import nearest

COMMANDS = {
    "batch": ("olpipe.cli.batch:batch", "Describe folders of photos, one JSON record a photo"),
    "run": ("olpipe.cli.run:run", "Ask a model something, with images if you like"),
    "pull": ("olpipe.cli.pull:pull", "Bring a model onto this machine"),
    "list": ("olpipe.cli.models:list_models", "List the models on this machine"),
    "show": ("olpipe.cli.models:show", "Show what a model is"),
    "cp": ("olpipe.cli.models:cp", "Copy a model under another name"),
    "rm": ("olpipe.cli.models:rm", "Remove models from this machine"),
    "plugins": ("olpipe.cli.plugins:plugins", "List plugins and what they bring"),
}
ALIASES = {"ls": "list"}


class LazyGroup(click.Group):
    """Knows its commands by name and one line of help; imports one when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return our commands in the order of the table, then plugins' by name."""
        return [*COMMANDS, *(name for name in entry_points.names(entry_points.COMMANDS) if name not in COMMANDS)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command, or ask the plugin that names it."""
        name = ALIASES.get(cmd_name, cmd_name)
        if name in COMMANDS:
            module, attribute = COMMANDS[name][0].split(":")
            command = getattr(importlib.import_module(module), attribute)
            assert isinstance(command, click.Command)
            return command
        if name in self.commands:
            return self.commands[name]
        return self._plugin_command(name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or fail with the nearest names."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            close = nearest(name, self.list_commands(ctx))
            offer = f" Did you mean {' or '.join(f'`{match}`' for match in close)}?" if close else ""
            ctx.fail(f"no such command `{name}`.{offer}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing any."""
        rows = [(name, COMMANDS[name][1] if name in COMMANDS else "from a plugin") for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def _plugin_command(self, name: str) -> click.Command | None:
        modules = {found.name: found.module for found in entry_points.installed(entry_points.COMMANDS)}
        module_name = modules.get(name)
        if module_name is None:
            return None
        try:
            importlib.import_module(module_name).register_commands(cli=self)
        except Exception as error:
            raise click.ClickException(f"the plugin command `{name}` could not be loaded: {error}") from error
        return self.commands.get(name)
