"""Which variables of the environment matter for which command: the end of its help page."""

from __future__ import annotations

from dataclasses import fields

import click

_PLACES = ("OLPIPE_HOME", "OLLAMA_MODELS")
_PLUGINS = ("OLPIPE_PLUGINS", "OLPIPE_DISABLE_PLUGINS")
_CLIENT = ("OLLAMA_HOST", "OLPIPE_SERVER", "OLPIPE_API_KEY")
_TRANSFERS = ("OLPIPE_REGISTRY", "OLPIPE_REGISTRY_KEY", "DOCKER_CONFIG", "OLPIPE_TOKEN_HOSTS")
_HUB = ("HF_ENDPOINT", "HF_TOKEN", "HF_HUB_OFFLINE")
_PULLS = (*_TRANSFERS, "OLLAMA_MAX_TRANSFER_STREAMS", *_HUB)
_GUIDANCE = ("OLPIPE_MAX_SCHEMA", "OLPIPE_GRAMMAR_EFFORT")

_USUAL = (*_PLACES, *_CLIENT)
_BATCH = (*_PLACES, "OLPIPE_RECIPES", "OLPIPE_THREADS", "OLPIPE_MEMORY_LIMIT", *_GUIDANCE, *_PLUGINS)
_BY_COMMAND = {
    "batch": _BATCH,
    "watch": (*_BATCH, "OLLAMA_KEEP_ALIVE"),
    "export": ("OLPIPE_HOME", *_PLUGINS),
    "review": ("OLPIPE_HOME", *_PLUGINS),
    "recipes": ("OLPIPE_HOME", "OLPIPE_RECIPES", *_GUIDANCE, *_PLUGINS),
    "run": (*_PLACES, *_CLIENT, "OLLAMA_EDITOR", "OLLAMA_NOHISTORY", "OLLAMA_CONTEXT_LENGTH", "OLPIPE_THREADS"),
    "pull": (*_PLACES, *_CLIENT, *_PULLS, "OLLAMA_NOPRUNE", *_PLUGINS),
    "create": (*_PLACES, *_CLIENT, *_PULLS, "OLLAMA_NOPRUNE", *_PLUGINS),
    "push": (*_PLACES, *_CLIENT, *_TRANSFERS, *_PLUGINS),
    "rm": (*_PLACES, *_CLIENT, "OLLAMA_NOPRUNE"),
    "doctor": (*_PLACES, "OLPIPE_THREADS", "OLLAMA_CONTEXT_LENGTH", "OLPIPE_MEMORY_LIMIT", *_PLUGINS),
    "plugins": ("OLPIPE_HOME", *_PLUGINS),
    "env": ("OLPIPE_HOME",),
    "search": (*_PLACES, "OLPIPE_SEARCH_HUB", *_HUB, *_PLUGINS),
    "store": (*_PLACES, "OLLAMA_NOPRUNE"),
    "completion": (),
    "help": (),
}
_ONLY_CLIENTS = ("OLPIPE_SERVER", "OLLAMA_EDITOR", "OLLAMA_NOHISTORY", "OLPIPE_RECIPES")


def variables(command: str) -> dict[str, str]:
    """Return the variables that matter for a command, each with its meaning."""
    from olpipe.settings import Settings

    meanings = {str(setting.metadata["env"]): str(setting.metadata["help"]) for setting in fields(Settings)}
    names = _BY_COMMAND.get(command, _USUAL)
    if command == "serve":  # all but what only matters to other commands
        names = tuple(name for name in meanings if name not in _ONLY_CLIENTS)
    return {name: meanings[name] for name in names if name in meanings}


def write_variables(command: str, formatter: click.HelpFormatter) -> None:
    """Write the variables that matter for a command at the end of its help page."""
    found = variables(command)
    if found:
        with formatter.section("Environment variables"):
            formatter.write_dl(list(found.items()))
        formatter.write_paragraph()
        formatter.write_text("`olpipe env` lists all settings with their values.")
