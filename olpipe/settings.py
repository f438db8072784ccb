"""The only reader of the environment and of the config file.

Each setting is looked up in the environment first, then in `config.toml` in olpipe's home. A setting that is in
neither has its default. In the config file, names are lower case and have no prefix: `OLPIPE_THREADS` is `threads`.
A path that is empty counts as not set.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from olpipe.addresses import Address
from olpipe.durations import keep_alive
from olpipe.errors import UsageError, nearest

KEEP_ALIVE_S = 300.0
CONFIG_NAME = "config.toml"


def _text(value: str) -> str:
    """Trim spaces and one layer of quotes, as Ollama does."""
    value = value.strip()
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    return value


def _path(value: str) -> Path | None:
    """Read a path. An empty text is no place: it counts as if nothing were set."""
    text = _text(value).strip()
    return Path(text).expanduser() if text else None


def _switch(value: str) -> bool:
    return _text(value).lower() not in ("", "0", "f", "false", "no", "off")


def _count(value: str) -> int:
    number = int(_text(value))
    if number < 0:
        raise ValueError("must not be negative")
    return number


def _keep_alive(value: str) -> float:
    """Read a duration as Ollama does: an empty text, or one that is not a duration, gives the default."""
    try:
        return keep_alive(_text(value))
    except ValueError:
        return KEEP_ALIVE_S


def _names(value: str) -> tuple[str, ...]:
    return tuple(name for name in (_text(part) for part in value.split(",")) if name)


def _setting(env: str, parse: Callable[[str], Any], default: Any, help_text: str) -> Any:
    return field(default=default, metadata={"env": env, "parse": parse, "help": help_text})


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the environment decides. A process reads it once, at its start, and passes it on."""

    home: Path = _setting("OLPIPE_HOME", _path, Path("~/.olpipe"), "The folder of models, caches and config.toml")
    models: Path | None = _setting(
        "OLLAMA_MODELS", _path, None, "The folder of the models; the default is `models` in OLPIPE_HOME"
    )
    debug: bool = _setting("OLPIPE_DEBUG", _switch, False, "Show tracebacks and debug logs")
    plugins_allow: tuple[str, ...] | None = _setting(
        "OLPIPE_PLUGINS",
        _names,
        None,
        "Load only installed plugins of these names, comma separated; empty loads none",
    )
    plugins_deny: tuple[str, ...] = _setting(
        "OLPIPE_DISABLE_PLUGINS", _names, (), "Do not load installed plugins of these names, comma separated"
    )
    threads: int = _setting(
        "OLPIPE_THREADS", _count, 0, "CPU threads for a model; 0 chooses by the cores that it may use"
    )
    context_length: int = _setting(
        "OLLAMA_CONTEXT_LENGTH", _count, 0, "Most tokens of prompt plus answer; 0 takes the model's own limit"
    )
    keep_alive_s: float = _setting(
        "OLLAMA_KEEP_ALIVE",
        _keep_alive,
        KEEP_ALIVE_S,
        "How long an idle model stays loaded, in seconds or like `10m`; a negative value means for ever",
    )
    max_loaded: int = _setting(
        "OLLAMA_MAX_LOADED_MODELS", _count, 0, "Most models that are loaded at the same time; 0 allows three"
    )
    max_queue: int = _setting(
        "OLLAMA_MAX_QUEUE", _count, 512, "Most requests that may wait for one model; 0 allows any number"
    )
    slots: int = _setting(
        "OLLAMA_NUM_PARALLEL",
        _count,
        0,
        "Most requests that one model answers at the same time; 0 lets its backend choose",
    )
    host: Address = _setting(
        "OLLAMA_HOST", Address.parse, Address(), "Where `olpipe serve` listens, and where clients look for it"
    )
    max_body: int = _setting(
        "OLPIPE_MAX_BODY", _count, 256 << 20, "Most bytes of the body of a request to the server; 0 allows any number"
    )
    memory_limit: int = _setting(
        "OLPIPE_MEMORY_LIMIT",
        _count,
        0,
        "MiB at which a model's process is replaced between requests; 0 allows twice its size after loading, plus 1024",
    )

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Read the environment (this process's by default) and the config file.

        Raises:
            UsageError: A value that its setting cannot take, or a config file that is not TOML.
        """
        environment = os.environ if environment is None else environment
        home = _home(environment)
        config = home / CONFIG_NAME
        found = {key: _as_text(value) for key, value in _config_table(config).items()}
        values: dict[str, Any] = {"home": home}
        for setting in fields(cls)[1:]:
            name, key = setting.metadata["env"], _key(setting.metadata["env"])
            for where, text in ((name, environment.get(name)), (f"`{key}` in {config}", found.get(key))):
                if text is None:
                    continue
                try:
                    value = setting.metadata["parse"](text)
                except ValueError as error:
                    raise UsageError(f"{where} cannot be `{text}`", hint=setting.metadata["help"]) from error
                if value is not None:
                    values[setting.name] = value
                    break
        return cls(**values)

    def lets_in(self, plugin: str) -> bool:
        """Say whether an installed plugin is loaded."""
        return plugin not in self.plugins_deny and (self.plugins_allow is None or plugin in self.plugins_allow)

    @property
    def models_folder(self) -> Path:
        """The model store."""
        return self.models or self.home / "models"


def debugging() -> bool:
    """Say whether tracebacks are wanted, even where the other settings cannot be read."""
    try:
        return Settings.read().debug
    except UsageError:
        return _switch(os.environ.get("OLPIPE_DEBUG", ""))


def unknown_settings(plugins: Callable[[], Collection[str]], environment: Mapping[str, str] | None = None) -> list[str]:
    """Return a warning for each variable `OLPIPE_…` and each entry of the config file that is no setting.

    Args:
        plugins: Returns the names of the installed plugins. The config file may have a section for each. It is called
            only where the file has sections.
        environment: The environment; this process's by default.

    Raises:
        UsageError: The config file cannot be read.
    """
    environment = os.environ if environment is None else environment
    names = {_key(setting.metadata["env"]): setting.metadata["env"] for setting in fields(Settings)}
    warnings = []
    for name in sorted(environment):
        if name.startswith("OLPIPE_") and name not in names.values():
            close = [names[key] for key in nearest(_key(name), names)]  # `OLPIPE_NUM_PARALLEL` has the wrong prefix
            warnings.append(f"{name} is set, and there is no such setting{_offer(close)}")
    path = _home(environment) / CONFIG_NAME
    table = _config_table(path)
    warnings += [_no_section(key, table[key], path, names, plugins()) for key in table if isinstance(table[key], dict)]
    for key in table:
        if key == "home":
            warnings.append(f"`home` in {path} has no effect, because the file lies in that folder; set OLPIPE_HOME")
        elif key not in names and not isinstance(table[key], dict):
            close = nearest(_key(key) if key.lower().startswith(("olpipe_", "ollama_")) else key, names)
            warnings.append(f"`{key}` in {path} is not a setting{_offer(close)}")
    return [warning for warning in warnings if warning]


def _no_section(
    key: str, section: Mapping[str, Any], path: Path, names: Collection[str], plugins: Collection[str]
) -> str:
    """Return a warning for a section of the config file; empty where it is a plugin's."""
    if key in plugins:
        return ""
    if any(inside in names for inside in section):
        return f"the settings in `[{key}]` of {path} have no effect: write them above all sections"
    return f"`[{key}]` in {path} is the section of no installed plugin{_offer(nearest(key, plugins))}"


def _offer(names: Iterable[str]) -> str:
    meant = " or ".join(f"`{name}`" for name in names)
    return f"; did you mean {meant}?" if meant else ""


def _key(name: str) -> str:
    """Return what a variable is called in the config file."""
    return name.split("_", 1)[-1].lower()


def _home(environment: Mapping[str, str]) -> Path:
    return _path(environment.get("OLPIPE_HOME", "")) or Path("~/.olpipe").expanduser()


def _config_table(path: Path) -> dict[str, Any]:
    """Return what the config file holds; nothing where there is none."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    import tomllib  # imported here, because most machines have no config file

    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error


def _as_text(value: object) -> str:
    """Return a value of the config file as the environment would hold it."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
