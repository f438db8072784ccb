"""How sentence-transformers makes one vector of a text: the settings that it keeps beside the encoder.

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
"""Tokens of a text at most: attention takes memory for every pair of them."""

# What follows the encoder, in this order. `Normalize` may be missing: vectors have length 1 with and without it.
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
    """How the vectors of a text's tokens become one."""

    MEAN = "mean"
    CLS = "cls"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class SentenceSettings:
    """What becomes of a text, before the encoder and after it.

    Attributes:
        pooling: How its tokens' vectors become one.
        prompt: What is put before every text.
        lowercase: Whether the text is put in lower case first.
    """

    pooling: Pooling
    prompt: str = ""
    lowercase: bool = False


def read_settings(folder: Path) -> SentenceSettings:
    """Read the settings of a folder.

    Raises:
        ModelCorrupt: A file is missing or damaged.
        ModelUnsupported: It asks for modules or for a pooling that are not converted.
    """
    pooling = ConfigFile.read(folder / _pooling_folder(folder) / "config.json")
    prompt = _prompt(ConfigFile.read(folder / _PROMPTS_NAME, optional=True))
    if prompt and not pooling.flag("include_prompt", True):
        raise ModelUnsupported(f"`{pooling.path}` leaves the prompt out of the mean, which is not converted")
    settings = ConfigFile.read(folder / _SETTINGS_NAME, optional=True)
    return SentenceSettings(_pooling(pooling), prompt, settings.flag("do_lower_case"))


def text_limit(folder: Path) -> int | None:
    """Return the most tokens that a text may have here, or None where no file says.

    Raises:
        ModelCorrupt: A file is damaged.
    """
    settings = ConfigFile.read(folder / _SETTINGS_NAME, optional=True)
    if settings.values.get("max_seq_length") is not None:
        return settings.size("max_seq_length")
    # Newer folders have it here; a number of thirty digits stands for none.
    limit = ConfigFile.read(folder / _TOKENIZER_CONFIG_NAME, optional=True).values.get("model_max_length")
    return limit if type(limit) is int and 0 < limit < 1 << 31 else None


def context_length(positions: int, limit: int | None) -> int:
    """Return the most tokens of a text: those that an encoder has positions for, and no more than a limit says."""
    return min(positions, LONGEST_TEXT, limit or positions)


def _pooling_folder(folder: Path) -> str:
    """Check that nothing but pooling and a norm follows the encoder; returns where the pooling's settings lie."""
    path = folder / MODULES_NAME
    if not path.is_file():
        raise ModelUnsupported(
            f"`{folder}` has no `{MODULES_NAME}`, which would say how a text's tokens become one vector",
            hint="use a folder that sentence-transformers wrote",
        )
    modules = read_json(path)
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise ModelCorrupt(f"`{path}` is not a list of modules")
    kinds = [_kind(module) for module in modules]
    for kind in kinds:
        if kind not in (_ENCODER, _POOLING, _NORMALIZE):
            raise ModelUnsupported(
                f"`{path}` has the module `{shown(kind)}`, which is not converted",
                hint=f"convertible are: {_ENCODER}, {_POOLING}, {_NORMALIZE}",
            )
    if kinds not in ([_ENCODER, _POOLING], [_ENCODER, _POOLING, _NORMALIZE]):
        raise ModelUnsupported(f"`{path}` has the modules {', '.join(kinds) or 'none'}, an order that is not converted")
    if modules[0].get("path", "") != "":
        raise ModelUnsupported(f"`{path}` keeps the encoder in a folder of its own, which is not converted")
    return _plain_name(path, modules[1].get("path"))


def _kind(module: dict[str, Any]) -> str:
    """Return what a module is, as `Pooling`: its Python path differs from version to version."""
    return str(module.get("type", "")).rpartition(".")[2]


def _plain_name(path: Path, name: Any) -> str:
    """Return the name of a folder right beside a file; it leads nowhere else."""
    if not isinstance(name, str) or not name.replace("_", "").isalnum() or not name.isascii():
        raise ModelCorrupt(f"`{path}` names the folder `{shown(str(name))}`, not one like `1_Pooling`")
    return name


def _pooling(config: ConfigFile) -> Pooling:
    named: Any = config.values.get("pooling_mode")
    if named is None:
        # Older folders have a yes or no for every way.
        named = [mode for key, mode in _MODES.items() if config.flag(key)] or "mean"
    modes = [str(mode) for mode in (named if isinstance(named, list) else [named])]
    if len(modes) != 1 or modes[0] not in {pooling.value for pooling in Pooling}:
        said = " and ".join(f"`{shown(mode)}`" for mode in modes[:6])
        raise ModelUnsupported(
            f"`{config.path}` pools by {said}, which is not converted",
            hint=f"convertible is one of {', '.join(pooling.value for pooling in Pooling)}",
        )
    return Pooling(modes[0])


def _prompt(config: ConfigFile) -> str:
    """Return what is put before every text, which is nothing unless one of the prompts is the default."""
    name = config.text("default_prompt_name")
    if not name:
        return ""
    prompts = config.values.get("prompts")
    prompt = prompts.get(name) if isinstance(prompts, dict) else None
    if not isinstance(prompt, str):
        raise ModelCorrupt(f"`{config.path}` has no prompt `{shown(name)}`, its default")
    return prompt
