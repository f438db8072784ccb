"""The only reader of the environment.

Each setting is looked up in the environment first, then in `config.toml` in olpipe's home. A setting that is in
neither has its default. In the config file, names are lower case and have no prefix: `OLPIPE_THREADS` is `threads`.
A path that is empty counts as not set. A variable `OLLAMA_…` with a value that it cannot have counts as not set, as in
Ollama; any other setting with such a value is an error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from olpipe.errors import UsageError
from olpipe.network.addresses import Address
from olpipe.network.reachable import Reachable
from olpipe.settings import values
from olpipe.settings.config_file import CONFIG_NAME, as_text, home_in, key_of, read_config
from olpipe.settings.values import KEEP_ALIVE_S, LOAD_TIMEOUT_S

MANAGEMENT = ("any", "local", "off")
CACHE_TYPES = ("f16", "q8_0", "q4_0")


def _setting(
    env: str, parse: Callable[[str], Any], default: Any, help_text: str, *, key: str = "", secret: bool = False
) -> Any:
    """Describe a setting.

    Args:
        env: The variable of the environment.
        parse: Reads its text. It raises `ValueError` where the text cannot be a value.
        default: The value where none is set.
        help_text: What it does.
        key: What it is called in the config file, where that is not the variable without its prefix.
        secret: Whether its value is hidden.
    """
    about = {"env": env, "key": key or key_of(env), "parse": parse, "help": help_text, "secret": secret}
    return field(default=default, metadata=about)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the environment decides. A process reads it once, at its start, and passes it on."""

    home: Path = _setting("OLPIPE_HOME", values.path, Path("~/.olpipe"), "The folder of models, caches and config.toml")
    models: Path | None = _setting(
        "OLLAMA_MODELS", values.path, None, "The folder of the models; the default is `models` in OLPIPE_HOME"
    )
    debug: bool = _setting("OLPIPE_DEBUG", values.switch, False, "Show tracebacks and debug logs")
    plugins_allow: tuple[str, ...] | None = _setting(
        "OLPIPE_PLUGINS",
        values.names,
        None,
        "Load only installed plugins of these names, comma separated; empty loads none",
    )
    plugins_deny: tuple[str, ...] = _setting(
        "OLPIPE_DISABLE_PLUGINS", values.names, (), "Do not load installed plugins of these names, comma separated"
    )
    threads: int = _setting(
        "OLPIPE_THREADS", values.count, 0, "CPU threads for a model; 0 chooses by the cores that it may use"
    )
    context_length: int = _setting(
        "OLLAMA_CONTEXT_LENGTH", values.count, 0, "Most tokens of prompt plus answer; 0 takes the model's own limit"
    )
    keep_alive_s: float = _setting(
        "OLLAMA_KEEP_ALIVE",
        values.keep_alive,
        KEEP_ALIVE_S,
        "How long an idle model stays loaded, in seconds or like `10m`; a negative value means for ever",
    )
    max_loaded: int = _setting(
        "OLLAMA_MAX_LOADED_MODELS", values.count, 0, "Most models that are loaded at the same time; 0 allows three"
    )
    max_queue: int = _setting(
        "OLLAMA_MAX_QUEUE", values.count, 512, "Most requests that may wait for one model; 0 allows any number"
    )
    load_timeout_s: float = _setting(
        "OLLAMA_LOAD_TIMEOUT",
        values.keep_alive,
        LOAD_TIMEOUT_S,
        "How long loading a model may go on without any progress, in seconds or like `10m`; 0 or less means for ever",
    )
    slots: int = _setting(
        "OLLAMA_NUM_PARALLEL",
        values.count,
        0,
        "Most requests that one model answers at the same time; 0 lets its backend choose",
    )
    cache_type: str = _setting(
        "OLLAMA_KV_CACHE_TYPE",
        values.one_of(*CACHE_TYPES),
        CACHE_TYPES[0],
        "How the backend `onnx` keeps keys and values: `f16` as the model's own graph does, `q8_0` in a quarter of that"
        " memory, `q4_0` in an eighth with worse answers; `olpipe batch` and `olpipe doctor` always take `f16`",
    )
    host: Address = _setting(
        "OLLAMA_HOST",
        Address.parse,
        Address(),
        "Where `olpipe serve` listens, and where clients look for it; `unix:///path` is a socket in the file system",
    )
    uses_server: bool = _setting(
        "OLPIPE_SERVER",
        values.switch,
        True,
        "Let commands use the server at OLLAMA_HOST where one runs; `off` has each command do its work itself",
    )
    max_body: int = _setting(
        "OLPIPE_MAX_BODY",
        values.count,
        256 << 20,
        "Most bytes of the body of a request to the server; 0 allows any number",
    )
    max_blob: int = _setting(
        "OLPIPE_MAX_BLOB",
        values.count,
        1 << 40,
        "Most bytes of a file that a client sends to the server to make a model of; 0 allows any number",
    )
    image_urls: Reachable = _setting(
        "OLPIPE_IMAGE_URLS",
        Reachable.parse,
        Reachable(),
        "Hosts from which the server fetches images whose URL is in a request: `off`, `on` for all with a public"
        " address, or a list of names, addresses and networks, comma separated; private addresses only where listed",
    )
    registry: str = _setting(
        "OLPIPE_REGISTRY",
        values.registry,
        "https://registry.ollama.ai",
        "The URL of the registry that has the models whose names have no host, or `off`, so that no registry is asked",
    )
    transfer_streams: int = _setting(
        "OLLAMA_MAX_TRANSFER_STREAMS",
        values.between(1, 64),
        4,
        "Most connections over which one file of a model is pulled from a registry",
    )
    token_hosts: tuple[str, ...] = _setting(
        "OLPIPE_TOKEN_HOSTS",
        values.names,
        (),
        "Hosts other than a registry's own from which it may have olpipe fetch its token, comma separated",
    )
    docker_config: Path | None = _setting(
        "DOCKER_CONFIG",
        values.path,
        Path("~/.docker"),
        "The folder of Docker's `config.json`, whose user names and passwords olpipe sends to registries",
        key="docker_config",
    )
    registry_key: Path | None = _setting(
        "OLPIPE_REGISTRY_KEY",
        values.path,
        Path("~/.ollama/id_ed25519"),
        "The key that Ollama's registry knows you by, which signs the requests for tokens; it is never made or changed",
    )
    hub_endpoint: str = _setting(
        "HF_ENDPOINT",
        values.endpoint,
        "https://huggingface.co",
        "The URL of the Hugging Face hub, or of a mirror of it, from which `hf.co/OWNER/REPOSITORY` is pulled",
        key="hf_endpoint",
    )
    hub_token: str | None = _setting(
        "HF_TOKEN",
        values.token,
        None,
        "The token that HF_ENDPOINT gets; without it, that which `hf auth login` keeps, where there is one",
        key="hf_token",
        secret=True,
    )
    hub_offline: bool = _setting(
        "HF_HUB_OFFLINE", values.switch, False, "Never ask the Hugging Face hub", key="hf_hub_offline"
    )
    searches_hub: bool = _setting(
        "OLPIPE_SEARCH_HUB", values.switch, False, "Let `olpipe search` ask the Hugging Face hub, too"
    )
    recipes: Path | None = _setting(
        "OLPIPE_RECIPES",
        values.path,
        None,
        "A folder of recipes that have names, as those that ship; files `NAME.toml`",
    )
    ray_address: str = _setting(
        "RAY_ADDRESS",
        values.text,
        "",
        "The Ray cluster that the executor `ray` uses, like `10.0.0.5:6379` or `auto`; the default is one that it"
        " starts on this machine",
        key="ray_address",
    )
    ray_actors: int = _setting(
        "OLPIPE_RAY_ACTORS",
        values.count,
        0,
        "Most workers of the executor `ray`, each with a model of its own; 0 takes one for each GPU of the cluster, or"
        " for each machine where there are no GPUs",
    )
    ray_gpus: float | None = _setting(
        "OLPIPE_RAY_GPUS",
        values.amount,
        None,
        "How many GPUs each worker of the executor `ray` gets, like `0.5`, `2`, or `0` for none; the default is one,"
        " where the cluster has GPUs",
    )
    memory_limit: int = _setting(
        "OLPIPE_MEMORY_LIMIT",
        values.count,
        0,
        "MiB at which a model's process is replaced between requests; 0 allows twice its size after loading, plus 1024",
    )
    verbosity: int = _setting(
        "OLLAMA_DEBUG",
        values.verbosity,
        0,
        "1 logs each request to the server, with its status, time and tokens; 2 also logs what OLPIPE_DEBUG does",
        key="verbosity",
    )
    keeps_no_history: bool = _setting(
        "OLLAMA_NOHISTORY", values.switch, False, "Do not keep what is typed in `olpipe run MODEL` for later sessions"
    )
    editor: str | None = _setting(
        "OLLAMA_EDITOR",
        values.text,
        None,
        "The command of the editor that Ctrl-G opens in `olpipe run MODEL`; the default is that of VISUAL or EDITOR",
    )
    log_bodies: bool = _setting(
        "OLLAMA_DEBUG_LOG_REQUESTS",
        values.switch,
        False,
        "Write the body of each request for an answer into a temporary folder, with a command that repeats it",
    )
    origins: tuple[str, ...] = _setting(
        "OLLAMA_ORIGINS",
        values.names,
        (),
        "Further origins of web pages that may use the server, comma separated; each may have one `*`",
    )
    keeps_blobs: bool = _setting(
        "OLLAMA_NOPRUNE", values.switch, False, "Never remove files of models that no model on this machine needs"
    )
    api_keys: tuple[str, ...] = _setting(
        "OLPIPE_API_KEY",
        values.names,
        (),
        "Keys, comma separated: a request to the server has to bring one of them; none lets everybody in",
        secret=True,
    )
    management: str = _setting(
        "OLPIPE_MANAGEMENT",
        values.one_of(*MANAGEMENT),
        "any",
        "Who may change the models through the server: `any` client, `local` ones on this machine, or `off` for none",
    )
    tls_cert: Path | None = _setting(
        "OLPIPE_TLS_CERT", values.path, None, "A certificate with its chain, as PEM: the server then speaks HTTPS"
    )
    tls_key: Path | None = _setting(
        "OLPIPE_TLS_KEY", values.path, None, "The private key of OLPIPE_TLS_CERT, where it is not in the same file"
    )
    max_header: int = _setting(
        "OLPIPE_MAX_HEADER",
        values.between(1024, 1 << 24),
        64 << 10,
        "Most bytes of the request line and the headers of a request to the server",
    )
    max_connections: int = _setting(
        "OLPIPE_MAX_CONNECTIONS", values.between(1, 1 << 20), 1000, "Most connections to the server at the same time"
    )
    client_timeout_s: float = _setting(
        "OLPIPE_CLIENT_TIMEOUT",
        values.seconds,
        30.0,
        "How long a client may take to send the headers of a request, be silent in its body, or take none of an answer",
    )
    idle_timeout_s: float = _setting(
        "OLPIPE_IDLE_TIMEOUT", values.seconds, 120.0, "How long a connection to the server may be idle"
    )
    max_pixels: int = _setting(
        "OLPIPE_MAX_PIXELS", values.count, 200_000_000, "Most pixels of an image in a request to the server"
    )
    max_images: int = _setting("OLPIPE_MAX_IMAGES", values.count, 64, "Most images in one request to the server")
    max_prompt: int = _setting(
        "OLPIPE_MAX_PROMPT", values.count, 4_000_000, "Most characters of all texts in one request to the server"
    )
    max_texts: int = _setting(
        "OLPIPE_MAX_TEXTS", values.count, 10_000, "Most texts that one request to the server turns into vectors"
    )
    max_schema: int = _setting(
        "OLPIPE_MAX_SCHEMA", values.between(2, 1 << 24), 1 << 20, "Most characters of a schema for an answer"
    )
    grammar_effort: int = _setting(
        "OLPIPE_GRAMMAR_EFFORT",
        values.between(1, 10_000),
        100,
        "How much work one schema, expression or grammar may cause, in per cent of what is usual",
    )

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Read the environment (this process's by default) and the config file.

        Raises:
            UsageError: A value that its setting cannot take, or a config file that is not TOML.
        """
        return cls(**{found.setting.name: found.value for found in look_up(environment)})

    def lets_in(self, plugin: str) -> bool:
        """Say whether an installed plugin is loaded."""
        return plugin not in self.plugins_deny and (self.plugins_allow is None or plugin in self.plugins_allow)

    @property
    def models_folder(self) -> Path:
        """The model store."""
        return self.models or self.home / "models"


@dataclass(frozen=True, slots=True)
class Found:
    """A setting as it was found.

    Attributes:
        setting: The field of `Settings`.
        value: Its value.
        source: `environment`, `config file` or `default`.
    """

    setting: Field[Any]
    value: Any
    source: str

    @property
    def name(self) -> str:
        """The variable of the environment."""
        return str(self.setting.metadata["env"])


def look_up(environment: Mapping[str, str] | None = None) -> Iterator[Found]:
    """Yield each setting with its value, and where that comes from.

    Args:
        environment: The environment; this process's by default.

    Raises:
        UsageError: A value that its setting cannot take, or a config file that is not TOML.
    """
    environment = os.environ if environment is None else environment
    home = home_in(environment)
    config = home / CONFIG_NAME
    table = {key: as_text(value) for key, value in read_config(config).items()}
    first, *others = fields(Settings)
    yield Found(first, home, "environment" if values.path(environment.get("OLPIPE_HOME", "")) else "default")
    for setting in others:
        yield _find(setting, environment, table, config)


def _find(setting: Field[Any], environment: Mapping[str, str], table: Mapping[str, str], config: Path) -> Found:
    name, key = setting.metadata["env"], setting.metadata["key"]
    places = (
        ("environment", name, environment.get(name)),
        ("config file", f"`{key}` in {config}", table.get(key)),
    )
    for source, where, text in places:
        if text is None:
            continue
        try:
            value = setting.metadata["parse"](text)
        except ValueError as error:
            if where.startswith("OLLAMA_"):
                continue  # as in Ollama; a warning says so
            shown = "that" if setting.metadata["secret"] else f"`{text}`"
            raise UsageError(f"{where} cannot be {shown}", hint=setting.metadata["help"]) from error
        if value is not None:
            return Found(setting, value, source)
    return Found(setting, setting.default, "default")


def debugging() -> bool:
    """Say whether tracebacks are wanted, even where the other settings cannot be read."""
    try:
        return Settings.read().debug
    except UsageError:
        return values.switch(os.environ.get("OLPIPE_DEBUG", ""))
