"""Read the settings that sentence-transformers keeps beside an encoder. They say how a text becomes one vector.

Source: https://github.com/huggingface/sentence-transformers, `base/model.py`, `sentence_transformer/modules/pooling.py`
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from olpipe.convert.gguf import shown
from olpipe.convert.model_folder import ConfigFile, read_json
from olpipe.errors import ModelCorrupt, ModelUnsupported

MODULES_NAME = "modules.json"

LONGEST_TEXT = 2048
"""Most tokens of a text. Attention takes memory for every pair of tokens."""

# The modules of a model, in this order. `Normalize` may be missing, because all vectors are scaled to length 1 anyway.
_ENCODER, _POOLING, _NORMALIZE = "Transformer", "Pooling", "Normalize"

_SETTINGS_NAME = "sentence_bert_config.json"
_PROMPTS_NAME = "config_sentence_transformers.json"
_TOKENIZER_CONFIG_NAME = "tokenizer_config.json"

_MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


class Pooling(Enum):
    """How the vectors of a text's tokens become one vector."""

    MEAN = "mean"
    CLS = "cls"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class SentenceSettings:
    """What is done with a text before the encoder and after it.

    Attributes:
        pooling: How the vectors of its tokens become one vector.
        prompt: A text that is put before every text; often empty.
        lowercase: Whether a text is put in lower case first.
    """

    pooling: Pooling
    prompt: str = ""
    lowercase: bool = False


def read_settings(folder: Path) -> SentenceSettings:
    """Read the settings of a folder.

    Raises:
        ModelCorrupt: A file is missing or damaged.
        ModelUnsupported: The settings ask for a module or a pooling that cannot be converted.
    """
    pooling = ConfigFile.read(folder / _pooling_folder(folder) / "config.json")
    prompt = _prompt(ConfigFile.read(folder / _PROMPTS_NAME, optional=True))
    if prompt and not pooling.flag("include_prompt", True):
        raise ModelUnsupported(f"`{pooling.path}` leaves the prompt out of the mean, which cannot be converted")
    settings = ConfigFile.read(folder / _SETTINGS_NAME, optional=True)
    return SentenceSettings(_pooling(pooling), prompt, settings.flag("do_lower_case"))


def text_limit(folder: Path) -> int | None:
    """Return the most tokens that a text may have by the folder's settings, or None where no file says.

    Raises:
        ModelCorrupt: A file is damaged.
    """
    settings = ConfigFile.read(folder / _SETTINGS_NAME, optional=True)
    if settings.values.get("max_seq_length") is not None:
        return settings.size("max_seq_length")
    # Newer folders have it here. A huge number, of thirty digits, means that there is no limit.
    limit = ConfigFile.read(folder / _TOKENIZER_CONFIG_NAME, optional=True).values.get("model_max_length")
    return limit if type(limit) is int and 0 < limit < 1 << 31 else None


def context_length(positions: int, limit: int | None) -> int:
    """Return the most tokens that a text may have.

    Args:
        positions: How many positions the encoder has.
        limit: A limit from the settings, or None.
    """
    return min(positions, LONGEST_TEXT, limit or positions)


def _pooling_folder(folder: Path) -> str:
    """Check the list of modules; returns the name of the folder with the settings of the pooling."""
    # 1. Read the list.
    path = folder / MODULES_NAME
    if not path.is_file():
        raise ModelUnsupported(
            f"`{folder}` has no `{MODULES_NAME}`, which would say how a text's tokens become one vector",
            hint="use a folder that sentence-transformers wrote",
        )
    modules = read_json(path)
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise ModelCorrupt(f"`{path}` is not a list of modules")
    # 2. After the encoder there may only be a pooling and a normalisation.
    kinds = [_kind(module) for module in modules]
    for kind in kinds:
        if kind not in (_ENCODER, _POOLING, _NORMALIZE):
            raise ModelUnsupported(
                f"`{path}` has the module `{shown(kind)}`, which cannot be converted",
                hint=f"these can be converted: {_ENCODER}, {_POOLING}, {_NORMALIZE}",
            )
    if kinds not in ([_ENCODER, _POOLING], [_ENCODER, _POOLING, _NORMALIZE]):
        order = ", ".join(kinds) or "none"
        raise ModelUnsupported(f"`{path}` has the modules {order}, an order that cannot be converted")
    if modules[0].get("path", "") != "":
        raise ModelUnsupported(f"`{path}` keeps the encoder in a folder of its own, which cannot be converted")
    return _plain_name(path, modules[1].get("path"))


def _kind(module: dict[str, Any]) -> str:
    """Return the kind of a module, such as `Pooling`. The rest of its Python path is different in each version."""
    return str(module.get("type", "")).rpartition(".")[2]


def _plain_name(path: Path, name: Any) -> str:
    """Check that a name is that of a folder right beside a file, and that it leads nowhere else; returns the name."""
    if not isinstance(name, str) or not name.replace("_", "").isalnum() or not name.isascii():
        raise ModelCorrupt(f"`{path}` names the folder `{shown(str(name))}`, not one like `1_Pooling`")
    return name


def _pooling(config: ConfigFile) -> Pooling:
    named: Any = config.values.get("pooling_mode")
    if named is None:
        # Older folders say yes or no for every way of pooling.
        named = [mode for key, mode in _MODES.items() if config.flag(key)] or "mean"
    modes = [str(mode) for mode in (named if isinstance(named, list) else [named])]
    if len(modes) != 1 or modes[0] not in {pooling.value for pooling in Pooling}:
        said = " and ".join(f"`{shown(mode)}`" for mode in modes[:6])
        raise ModelUnsupported(
            f"`{config.path}` pools by {said}, which cannot be converted",
            hint=f"one of these can be converted: {', '.join(pooling.value for pooling in Pooling)}",
        )
    return Pooling(modes[0])


def _prompt(config: ConfigFile) -> str:
    """Return the text that is put before every text. It is empty unless one of the prompts is the default."""
    name = config.text("default_prompt_name")
    if not name:
        return ""
    prompts = config.values.get("prompts")
    prompt = prompts.get(name) if isinstance(prompts, dict) else None
    if not isinstance(prompt, str):
        raise ModelCorrupt(f"`{config.path}` has no prompt `{shown(name)}`, although that is its default")
    return prompt
