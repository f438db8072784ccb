"""A command group that imports a command only when it is asked for."""

from __future__ import annotations

import importlib
from functools import partial
from typing import TYPE_CHECKING

import click

from olpipe import entry_points
from olpipe.errors import UsageError, first_line, nearest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from click.shell_completion import CompletionItem

COMMANDS = {
    "batch": ("olpipe.cli.batch:batch", "Describe folders of photos, with one JSON record for each photo"),
    "watch": ("olpipe.cli.watch:watch", "Go on describing photos as they arrive in folders"),
    "export": ("olpipe.cli.export:export", "Write the records of a batch again, in other formats"),
    "review": ("olpipe.cli.review:review", "Approve, edit or reject what the model wrote, in a browser"),
    "recipes": ("olpipe.cli.recipes:recipes", "List, show, check and begin recipes: what a batch asks"),
    "run": ("olpipe.cli.run:run", "Ask a model something, with images if you like"),
    "serve": ("olpipe.cli.serve:serve", "Answer over HTTP, as Ollama does"),
    "create": ("olpipe.cli.create:create", "Make a model as a Modelfile says"),
    "pull": ("olpipe.cli.pull:pull", "Bring a model onto this machine"),
    "push": ("olpipe.cli.push:push", "Send a model to a registry"),
    "search": (
        "olpipe.cli.search:search",
        "Find models, with what they take and how fast they are; or photos of a batch",
    ),
    "list": ("olpipe.cli.models:list_models", "List the models"),
    "show": ("olpipe.cli.models:show", "Show what a model is"),
    "cp": ("olpipe.cli.models:cp", "Copy a model under another name"),
    "rm": ("olpipe.cli.models:rm", "Remove models"),
    "ps": ("olpipe.cli.models:ps", "List the models that a server has in memory"),
    "stop": ("olpipe.cli.models:stop", "Take a model out of a server's memory"),
    "store": ("olpipe.cli.store:store", "Check, mend and tidy up what is on the disk"),
    "doctor": (
        "olpipe.cli.doctor:doctor",
        "Say what this machine lacks to run models, and whether a model really sees",
    ),
    "plugins": ("olpipe.cli.plugins:plugins", "List plugins and what they bring"),
    "env": ("olpipe.cli.env:env", "List all settings, and where each comes from"),
    "completion": (
        "olpipe.cli.completion.command:completion",
        "Write the script with which a shell completes commands",
    ),
    "help": ("olpipe.cli.help:help_", "Explain a command"),
}
ALIASES = {"ls": "list", "start": "serve"}
_OTHER_WORDS = {
    "chat": "run",
    "copy": "cp",
    "delete": "rm",
    "describe": "batch",
    "info": "show",
    "models": "list",
    "remove": "rm",
    "settings": "env",
    "tags": "list",
    "version": "--version",
}
"""What other programs call a command."""
_ACCOUNTS = ("signin", "signout", "login", "logout")
HELP_OPTIONS = ["-h", "--help"]
FROM_PLUGIN = "from a plugin"
COMPLETE = "_OLPIPE_COMPLETE"
"""The variable with which a shell asks how a line goes on: `bash_complete`, or for its script: `bash_source`."""
HELP_ASKED = "olpipe.help_asked"
"""The key of what a context knows: whether `--help` is among the arguments."""


class LazyGroup(click.Group):
    """Knows its commands by name and one line of help; imports one when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return olpipe's own commands in the order of the table, then those of plugins by name."""
        named = [name for name in entry_points.names(entry_points.COMMANDS) if name not in COMMANDS]
        if named:  # reading which plugins are denied takes time, and is needed only now
            allowed = _plugin_commands()
            named = [name for name in named if name in allowed]
        return [*COMMANDS, *named]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments. Where there are none, show the help, as Ollama does."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), color=ctx.color)
            ctx.exit()
        words = args[: args.index("--")] if "--" in args else args
        ctx.meta[HELP_ASKED] = not set(words).isdisjoint(ctx.help_option_names)
        return super().parse_args(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command, or ask the plugin that names it."""
        name = ALIASES.get(cmd_name, cmd_name)
        if name in COMMANDS:
            module, attribute = COMMANDS[name][0].split(":")
            command = getattr(importlib.import_module(module), attribute)
            assert isinstance(command, click.Command)
            return _prepared(command, name, completes=ctx.resilient_parsing)
        if name in self.commands:
            return self.commands[name]
        return self._plugin_command(name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or fail and offer the most similar names."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            raise self.no_such_command(ctx, name)
        return super().resolve_command(ctx, args)

    def no_such_command(self, ctx: click.Context, name: str) -> Exception:
        """Return the error for a name that no command has, with the most similar names.

        Raises:
            UsageError: It is not known which plugins are disabled.
        """
        from olpipe.settings import Settings

        if (owner := _owner(name)) is not None:
            Settings.read()
            return click.UsageError(f"no such command `{name}`, because the plugins of `{owner}` are disabled", ctx)
        if name in _ACCOUNTS:
            hint = (
                "no account is needed; what `docker login HOST` keeps is used for a registry that asks for a password"
            )
            return UsageError(f"no such command `{name}`", hint=hint)
        close = [_OTHER_WORDS[name]] if name in _OTHER_WORDS else nearest(name, [*self.list_commands(ctx), *ALIASES])
        offer = f"did you mean {' or '.join(f'`{match}`' for match in close)}? " if close else ""
        return UsageError(f"no such command `{name}`", hint=f"{offer}run `{ctx.command_path} help` to see all commands")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing any."""
        aliases = {name: f"{name}, {alias}" for alias, name in ALIASES.items()}
        rows = [(aliases.get(name, name), _meaning(name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Return the commands, or the options, that begin like what is typed. No command is imported for this."""
        from click.shell_completion import CompletionItem

        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        found = [CompletionItem(name, help=_meaning(name)) for name in names]
        return found + click.Command.shell_complete(self, ctx, incomplete)

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


def _meaning(name: str) -> str:
    return COMMANDS[name][1] if name in COMMANDS else FROM_PLUGIN


def _prepared(command: click.Command, name: str, *, completes: bool) -> click.Command:
    """Give a command of olpipe's own the end of its help page, and what its values may be where a shell asks.

    A number is called `N` on its help page, and not `INTEGER RANGE`.
    """
    for within in command.commands.values() if isinstance(command, click.Group) else ():
        _prepared(within, name, completes=completes)
    for parameter in command.params:
        if isinstance(parameter, click.Option) and isinstance(parameter.type, click.IntRange | click.FloatRange):
            parameter.metavar = parameter.metavar or "N"
    if completes:
        from olpipe.cli.completion.values import taught

        command = taught(command)
    command.context_settings.setdefault("help_option_names", HELP_OPTIONS)
    command.format_epilog = partial(_write_environment, name)  # type: ignore[method-assign]
    return command


def _write_environment(name: str, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    from olpipe.cli.environment import write_variables

    write_variables(name, formatter)


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
