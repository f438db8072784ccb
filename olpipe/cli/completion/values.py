"""What the values of arguments and options may be: looked up only when a shell asks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from olpipe.plugins import Plugins
    from olpipe.settings import Settings

    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType

Items = list[CompletionItem[str]]
Complete = Callable[[click.Context, click.Parameter, str], Items]

_FILE = "file:"
_MODEL_FILE = ".gguf"
_ANSWERS_WITHIN_S = 2.0


class Value(ParamType):
    """A value that is only completed, and never checked."""

    def __init__(self, name: str, complete: Complete) -> None:
        self.name = name
        self._complete = complete

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Take every value as it is."""
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
        """Return what the value may be."""
        return self._complete(ctx, param, incomplete)


def taught(command: click.Command) -> click.Command:
    """Return a copy of a command of olpipe's own whose parameters know what their values may be."""
    learner = copy(command)
    if isinstance(learner, click.Group):
        learner.commands = {name: taught(within) for name, within in learner.commands.items()}
    learner.params = [_taught(parameter, learner) for parameter in command.params]
    return learner


def _taught(parameter: click.Parameter, command: click.Command) -> click.Parameter:
    known = VALUES.get(f"{command.name} {parameter.name}") or VALUES.get(parameter.name or "")
    if known is None or getattr(parameter, "is_flag", False):
        return parameter
    learner = copy(parameter)
    learner.type = Value(parameter.type.name, known)
    return learner


def models(command: str | None, typed: str) -> Items:
    """Return the models whose names begin like what is typed: those that a command can use."""
    return _beginning(_stored(_settings()) if command in WITHOUT_SERVER else _model_names(), typed)


# --- kinds of values ---------------------------------------------------------------------------


def _beginning(names: Iterable[str], typed: str) -> Items:
    return [CompletionItem(name) for name in names if name.startswith(typed)]


def _files(context: click.Context, parameter: click.Parameter, typed: str) -> Items:
    return [CompletionItem(typed, type="file")]


def _folders(context: click.Context, parameter: click.Parameter, typed: str) -> Items:
    return [CompletionItem(typed, type="dir")]


def _free(context: click.Context, parameter: click.Parameter, typed: str) -> Items:
    return []


def _or_files(names: Complete) -> Complete:
    """Return what completes names, and files where no name begins like what is typed."""
    return lambda context, parameter, typed: names(context, parameter, typed) or _files(context, parameter, typed)


def _models(context: click.Context, parameter: click.Parameter, typed: str) -> Items:
    """Complete the name of a model. None is offered twice on one line."""
    given = context.params.get(parameter.name or "")
    before = set(given) if isinstance(given, tuple) else set()
    return [item for item in models(context.command.name, typed) if item.value not in before]


def _running(context: click.Context, parameter: click.Parameter, typed: str) -> Items:
    """Complete a model that a server has loaded."""
    return _beginning(_served(_settings(), "/api/ps") or (), typed)


def _sources(context: click.Context, parameter: click.Parameter, typed: str) -> Items:
    """Complete what can be pulled: what sources announce, what is here already, or a file."""
    if typed.startswith(_FILE):
        return list(_model_files(typed.removeprefix(_FILE)))
    from olpipe.store.sources import offers

    plugins = _plugins()
    announced = {str(name): text for name, (_, text) in offers(plugins).names.items()}
    names = sorted([*announced.values(), *(name for name in _model_names() if name not in announced)])
    schemes = [name for name in plugins.model_sources.names() if name in ("file", "pip")]
    parts = [CompletionItem(f"{scheme}:", type="part") for scheme in schemes if f"{scheme}:".startswith(typed)]
    return [*_beginning(names, typed), *parts]


def _model_files(typed: str) -> Iterator[CompletionItem[str]]:
    """Yield the GGUF files and the folders behind `file:` that begin like what is typed."""
    folder, name = os.path.split(typed)
    with os.scandir(os.path.expanduser(folder) or ".") as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        path = f"{_FILE}{os.path.join(folder, entry.name)}"
        if not entry.name.startswith(name) or (entry.name.startswith(".") and not name):
            continue
        if entry.is_dir():
            yield CompletionItem(f"{path}/", type="part")
        elif entry.name.endswith(_MODEL_FILE):
            yield CompletionItem(path)


def _recipes(context: click.Context, parameter: click.Parameter, typed: str) -> Items:
    from olpipe.describing.recipe_file import named_recipes

    return _beginning(sorted(named_recipes(_settings().recipes)), typed)


def _brought(kind: str) -> Complete:
    """Return what completes the names of what plugins bring."""
    return lambda context, parameter, typed: _beginning(_names_brought(kind), typed)


def _listed(kind: str) -> Complete:
    """Return what completes the last of several names with commas between them."""

    def complete(context: click.Context, parameter: click.Parameter, typed: str) -> Items:
        before, comma, last = typed.rpartition(",")
        given = before.split(",")
        names = [name for name in _names_brought(kind) if name not in given and name.startswith(last)]
        return [CompletionItem(f"{before}{comma}{name}") for name in names]

    return complete


def _languages(context: click.Context, parameter: click.Parameter, typed: str) -> Items:
    """Complete the languages in which perceivers know their words."""
    known = {"en"}.union(*(perceiver.translations() for perceiver in _plugins().perceivers))
    return _beginning(sorted(known), typed)


def _formats(context: click.Context, parameter: click.Parameter, typed: str) -> Items:
    return _beginning(["json"], typed)


def _commands(context: click.Context, parameter: click.Parameter, typed: str) -> Items:
    found = context.find_root()
    for name in context.params.get(parameter.name or "") or ():
        command = found.command.get_command(found, name) if isinstance(found.command, click.Group) else None
        if command is None:
            return []
        found = command.context_class(command, info_name=name, parent=found, resilient_parsing=True)
    return found.command.shell_complete(found, typed) if isinstance(found.command, click.Group) else []


VALUES: dict[str, Complete] = {
    "model": _models,
    "models": _models,
    "prefix": _models,
    "stop model": _running,
    "create model": _free,
    "create path": _files,
    "import folder": _folders,
    "ps prefix": _running,
    "cp source": _models,
    "pull source": _sources,
    "pull projector": _files,
    "recipe_name": _or_files(_recipes),
    "recipe_names": _or_files(_recipes),
    "new name": _free,
    "set_keys": _free,
    "perceivers": _listed("perceivers"),
    "backend": _brought("backends"),
    "executor": _brought("executors"),
    "sinks": _brought("sinks"),
    "language": _languages,
    "schema": _files,
    "format_": _or_files(_formats),
    "inputs": _files,
    "images": _files,
    "prompt": _files,
    "batch prompt": _free,
    "batch output": _folders,
    "export output": _folders,
    "help command": _commands,
}
"""How to complete a parameter, by the command's and its own name, or by its own name in all commands."""

WITHOUT_SERVER = ("batch", "doctor", "verify", "repair")
"""Commands that use the models on this machine, whatever OLLAMA_HOST says."""

MODEL_FIRST = ("run", "show", "cp", "rm", "push", "doctor", "list", "ls")
"""Commands whose first argument is a model. It is completed most often, so their modules are not imported for it."""


# --- where they come from ----------------------------------------------------------------------


def _settings() -> Settings:
    """Return the settings. Where one of them is wrong, only the folders count."""
    from olpipe.errors import UsageError
    from olpipe.settings import Settings
    from olpipe.settings.config_file import home_in
    from olpipe.settings.values import path

    try:
        return Settings.read()
    except UsageError:
        return Settings(home=home_in(os.environ), models=path(os.environ.get("OLLAMA_MODELS", "")), uses_server=False)


def _plugins() -> Plugins:
    """Return all plugins. Where a setting is wrong, it is not known which are disabled, and this fails."""
    from olpipe.plugins import Plugins
    from olpipe.settings import Settings

    return Plugins.load(Settings.read())


def _names_brought(kind: str) -> tuple[str, ...]:
    return next(registry.names() for name, registry in _plugins().registries().items() if name == kind)


def _model_names() -> list[str]:
    """Return the models of the server at OLLAMA_HOST, or else those on this machine."""
    from olpipe.network.addresses import Address

    settings = _settings()
    served = None if settings.host == Address() else _served(settings, "/api/tags")
    return _stored(settings) if served is None else served


def _stored(settings: Settings) -> list[str]:
    from olpipe.store.manifests import Manifests

    folder = settings.models_folder
    return [str(name) for name in Manifests(folder / "manifests", incoming=folder / "incoming").names()]


def _served(settings: Settings, path: str) -> list[str] | None:
    """Return the models that a server lists at a path; None where commands use no server, or it does not answer."""
    from olpipe.client.finding import find_server
    from olpipe.errors import OlpipeError

    try:
        server = find_server(settings)
        if server is None:
            return None
        with server:
            return sorted(model["name"] for model in server.get(path, within_s=_ANSWERS_WITHIN_S)["models"])
    except OlpipeError:
        return None
