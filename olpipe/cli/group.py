"""A command group that imports a command only when it is asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import click

from olpipe import entry_points
from olpipe.errors import UsageError, first_line, nearest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

COMMANDS = {
    "batch": ("olpipe.cli.batch:batch", "Describe folders of photos, with one JSON record for each photo"),
    "run": ("olpipe.cli.run:run", "Ask a model something, with images if you like"),
    "serve": ("olpipe.cli.serve:serve", "Answer over HTTP, as Ollama does"),
    "pull": ("olpipe.cli.pull:pull", "Bring a model onto this machine"),
    "push": ("olpipe.cli.push:push", "Send a model to a registry"),
    "list": ("olpipe.cli.models:list_models", "List the models on this machine"),
    "show": ("olpipe.cli.models:show", "Show what a model is"),
    "cp": ("olpipe.cli.models:cp", "Copy a model under another name"),
    "rm": ("olpipe.cli.models:rm", "Remove models from this machine"),
    "doctor": ("olpipe.cli.doctor:doctor", "Say whether a model can run here, and whether it really sees"),
    "plugins": ("olpipe.cli.plugins:plugins", "List plugins and what they bring"),
    "env": ("olpipe.cli.env:env", "List all settings, and where each comes from"),
}
ALIASES = {"ls": "list", "start": "serve"}


class LazyGroup(click.Group):
    """Knows its commands by name and one line of help; imports one when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return olpipe's own commands in the order of the table, then those of plugins by name."""
        named = [name for name in entry_points.names(entry_points.COMMANDS) if name not in COMMANDS]
        if named:  # reading which plugins are denied takes time, and is needed only now
            allowed = _plugin_commands()
            named = [name for name in named if name in allowed]
        return [*COMMANDS, *named]

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
        """Find the command, or fail and offer the most similar names."""
        from olpipe.settings import Settings

        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            if (owner := _owner(name)) is not None:
                Settings.read()  # raises where it is not known which plugins are disabled
                ctx.fail(f"no such command `{name}`, because the plugins of `{owner}` are disabled")
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
        found = _plugin_commands().get(name)
        if found is None:
            return None
        failed = f"the plugin command `{name}` could not be loaded"
        before = set(self.commands)
        try:
            importlib.import_module(found.module).register_commands(cli=self)
        except (Exception, SystemExit) as error:
            raise click.ClickException(f"{failed}: {first_line(error)}") from error
        if name not in self.commands:
            others = ", ".join(f"`{other}`" for other in sorted(set(self.commands) - before))
            brings = (
                f"brings {others}, and not the command that its entry point names" if others else "brings no command"
            )
            raise click.ClickException(f"{failed}: `{found.module}` of `{entry_points.distribution(found)}` {brings}")
        return self.commands[name]


def _plugin_commands() -> dict[str, EntryPoint]:
    """Return the entry points of commands, except those of plugins that the settings keep out."""
    from olpipe.settings import Settings

    try:
        settings = Settings.read()
    except UsageError:  # it is not known which plugins are denied; the command that runs reports the error
        return {}
    plugins: dict[str, set[str]] = {}
    for found in entry_points.installed(entry_points.PLUGINS):
        plugins.setdefault(entry_points.distribution(found), set()).add(found.name)
    commands = {}
    for found in entry_points.installed(entry_points.COMMANDS):
        # A distribution that only brings commands is a plugin of its own name.
        names = plugins.get(entry_points.distribution(found), {entry_points.distribution(found)})
        if any(settings.lets_in(name) for name in names):
            commands[found.name] = found
    return commands


def _owner(name: str) -> str | None:
    """Return the distribution that brings a command, or None where none does."""
    installed = entry_points.installed(entry_points.COMMANDS)
    return next((entry_points.distribution(found) for found in installed if found.name == name), None)
