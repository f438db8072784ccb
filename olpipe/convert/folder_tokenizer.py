"""Read the tokenizer of a folder in the layout of Hugging Face: `tokenizer.json` and the settings beside it.

A package has the same `tokenizer.json`. The tokens with a role are found as in GGUF files. Nothing in the files is
trusted, and no code in them is run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olpipe.convert.gguf import GGUFHeader, shown
from olpipe.convert.model_folder import CONFIG_NAME, MAX_JSON_BYTES, ConfigFile, read_json
from olpipe.convert.special_tokens import SpecialTokens, TokenKind, read_special_tokens
from olpipe.errors import ModelCorrupt, ModelUnsupported

TOKENIZER_NAME, SETTINGS_NAME = "tokenizer.json", "tokenizer_config.json"
TEMPLATE_NAMES = ("chat_template.jinja", "chat_template.json")
TEMPLATES_FOLDER = "additional_chat_templates"

_MAX_BYTES = 64 << 20
_MAX_TEMPLATES = 16
_ROLES = {"bos": "bos_token", "eos": "eos_token", "padding": "pad_token", "unknown": "unk_token"}
_REASON_LETTERS = 160


@dataclass(frozen=True, slots=True)
class FolderTokenizer:
    """The tokenizer of a folder, checked.

    Attributes:
        folder: The folder.
        tokens: The text of each token, in the order of their ids. An id that is not used has a text in brackets.
        special: The tokens with a role.
        content: The content of `tokenizer.json`, as the package has it.
        settings: What `tokenizer_config.json` and `special_tokens_map.json` say about roles and chat templates.
    """

    folder: Path
    tokens: Sequence[str]
    special: SpecialTokens
    content: Mapping[str, Any]
    settings: Mapping[str, Any]

    def config(self, context_length: int) -> dict[str, Any]:
        """Return the content of a package's `tokenizer_config.json`."""
        return {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": context_length,
            "clean_up_tokenization_spaces": False,
            "add_bos_token": self.special.add_begin,
            "add_eos_token": self.special.add_end,
            "eos_token": self.tokens[self.special.ends[0]],
            **self.settings,
        }

    def templates(self) -> Iterator[tuple[str, bytes]]:
        """Yield the files of chat templates that are not in `tokenizer_config.json`, by their names in a package.

        Raises:
            ModelCorrupt: One of them is far too large, or there are too many.
        """
        further = sorted((self.folder / TEMPLATES_FOLDER).glob("*.jinja"))[: _MAX_TEMPLATES + 1]
        if len(further) > _MAX_TEMPLATES:
            raise ModelCorrupt(f"`{self.folder / TEMPLATES_FOLDER}` has more than {_MAX_TEMPLATES} chat templates")
        for path in (*(self.folder / name for name in TEMPLATE_NAMES), *further):
            if path.is_file():
                with path.open("rb") as file:
                    data = file.read(MAX_JSON_BYTES + 1)
                if len(data) > MAX_JSON_BYTES:
                    raise ModelCorrupt(f"`{path}` has more than {MAX_JSON_BYTES} bytes")
                yield path.relative_to(self.folder).as_posix(), data


def read_folder_tokenizer(folder: Path, *, rows: int, cut: bool) -> FolderTokenizer:
    """Read and check the tokenizer of a folder.

    Args:
        folder: The folder.
        rows: How many rows the embedding has, one for each token.
        cut: Whether to leave out added tokens for which there is no row. No text needs them.

    Raises:
        ModelCorrupt: A file is missing or damaged, or two of them contradict each other.
        ModelUnsupported: The tokenizer is of a kind that cannot be converted.
    """
    # 1. `tokenizer.json`: one that the library reads, and of a kind whose tokens are known byte by byte.
    path = folder / TOKENIZER_NAME
    if not path.is_file():
        hint = "save the tokenizer with a recent version of transformers, which writes this file"
        raise ModelUnsupported(f"`{folder}` has no `{TOKENIZER_NAME}`", hint=hint)
    content = _read(path)
    if cut:
        content = content | {"added_tokens": [one for one in content["added_tokens"] if one["id"] < rows]}
    tokens, encodes_begin = _vocabulary(path, content, rows)
    kinds = _kinds(content, tokens)
    _check_bytes(path, content, tokens)
    _check_spaces(path, content)
    # 2. The tokens with a role, by the keys that GGUF files have for them.
    settings = ConfigFile.read(folder / SETTINGS_NAME, optional=True)
    named = _token_texts(ConfigFile.read(folder / "special_tokens_map.json", optional=True)) | _token_texts(settings)
    roles = _roles(folder, named, tokens)
    for role, key in (("bos", "add_bos_token"), ("eos", "add_eos_token")):
        if isinstance(settings.values.get(key), bool):
            roles[f"add_{role}_token"] = settings.values[key]
    begins = bool(encodes_begin) and encodes_begin[0] == roles.get("bos_token_id")
    metadata = {f"tokenizer.ggml.{key}": value for key, value in roles.items()}
    header = GGUFHeader(folder, 3, metadata, {})
    special = read_special_tokens(header, tokens, kinds, defaults={}, add_begin=begins)
    # 3. What a package says about them.
    template = _template(settings)
    said: dict[str, Any] = named | ({} if template is None else {"chat_template": template})
    if not _is_text(json.dumps(said, ensure_ascii=False)):
        raise ModelCorrupt(f"`{settings.path}` has a text that is not valid Unicode")
    return FolderTokenizer(folder, tokens, special, content, said)


def _read(path: Path) -> dict[str, Any]:
    """Return the content of a `tokenizer.json`, with the parts that this module looks at checked."""
    content: Any = read_json(path, limit=_MAX_BYTES)
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, dict):
        raise ModelCorrupt(f"`{path}` has no `model`")
    kind = model.get("type", "BPE")
    if kind != "BPE":
        message = f"`{path}` has a tokenizer of kind `{shown(str(kind))}`, which cannot be converted"
        raise ModelUnsupported(message, hint="only `BPE` can be converted, with bytes as characters or as tokens")
    added = content.get("added_tokens", [])
    sound = isinstance(added, list) and all(isinstance(one, dict) for one in added)
    if not sound or not all(type(one.get("id")) is int and isinstance(one.get("content"), str) for one in added):
        raise ModelCorrupt(f"`{path}` has added tokens without an id or a text")
    return {**content, "truncation": None, "padding": None, "added_tokens": added}


def _vocabulary(path: Path, content: Mapping[str, Any], rows: int) -> tuple[tuple[str, ...], list[int]]:
    """Return the text of each token in the order of their ids, and the tokens of an empty text."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(json.dumps(content, ensure_ascii=False))
        vocabulary: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
        empty: list[int] = tokenizer.encode("").ids
    except Exception as error:  # the library has no narrower class of errors
        said = str(error).partition("\n")[0][:_REASON_LETTERS]
        raise ModelCorrupt(f"`{path}` cannot be read: {said!r}") from error
    strange = next((one for one in content["added_tokens"] if vocabulary.get(one["content"]) != one["id"]), None)
    if strange:
        said = f"`{shown(strange['content'])}` has the id {strange['id']}"
        raise ModelCorrupt(f"`{path}` says that the token {said}, which another token has or which leaves a gap")
    largest = max(vocabulary.values(), default=-1)
    if not 0 <= largest < rows:
        raise ModelCorrupt(f"`{path}` has a token {largest}, but the embedding has only {rows} rows")
    tokens = [f"[PAD{place}]" for place in range(largest + 1)]
    for token, place in vocabulary.items():
        tokens[place] = token
    return tuple(tokens), empty


def _kinds(content: Mapping[str, Any], tokens: Sequence[str]) -> tuple[int, ...]:
    """Return the kind of each token, as GGUF numbers it."""
    special, plain = TokenKind.CONTROL, TokenKind.USER_DEFINED
    added = {one["id"]: special if one.get("special") else plain for one in content["added_tokens"]}
    unknown = content["model"].get("unk_token")
    return tuple(
        TokenKind.UNKNOWN if token == unknown else added.get(place, TokenKind.NORMAL)
        for place, token in enumerate(tokens)
    )


def _check_bytes(path: Path, content: Mapping[str, Any], tokens: Sequence[str]) -> None:
    """Check that every text can be written: each byte is a character of byte-level BPE, or a token of its own."""
    if any(part.get("type") == "ByteLevel" for part in _parts(content, "pre_tokenizer", "pretokenizers")):
        return
    if not content["model"].get("byte_fallback") or not {f"<0x{byte:02X}>" for byte in range(256)} <= set(tokens):
        message = f"`{path}` has no token for each byte, so it cannot write every text"
        raise ModelUnsupported(message, hint="byte-level BPE, and BPE with `byte_fallback`, can be converted")


def _parts(content: Mapping[str, Any], key: str, inner: str) -> list[Mapping[str, Any]]:
    """Return the steps of a part of `tokenizer.json`, which may be one step or a sequence of them."""
    part = content.get(key)
    steps = part.get(inner, [part]) if isinstance(part, dict) else []
    return [step for step in steps if isinstance(step, dict)]


def _check_spaces(path: Path, content: Mapping[str, Any]) -> None:
    """Refuse a tokenizer that puts a space before a text only where there is none.

    A normalizer that always puts one there is converted. Where one comes before the first text of all, a prompt has
    none, because it begins with a special token.
    """
    for step in _parts(content, "pre_tokenizer", "pretokenizers"):
        usual = "always" if step.get("add_prefix_space", True) else "never"
        if step.get("type") == "Metaspace" and step.get("prepend_scheme", usual) == "always":
            message = f"`{path}` has a `Metaspace` with `prepend_scheme` `always`, which cannot be converted"
            raise ModelUnsupported(message, hint="save the tokenizer with a recent version of transformers")


def _token_texts(config: ConfigFile) -> dict[str, str]:
    """Return the texts of tokens with a role, by their names, such as `bos_token`."""
    extra = config.values.get("extra_special_tokens")
    named = {name: value for name, value in config.values.items() if name.endswith("_token")}
    named |= extra if isinstance(extra, dict) else {}
    texts = ((name, value.get("content") if isinstance(value, dict) else value) for name, value in named.items())
    return {name: text for name, text in texts if isinstance(text, str)}


def _template(settings: ConfigFile) -> Any:
    """Return the chat template, or several with names; None where there is none."""
    value = settings.values.get("chat_template")
    entries = value if isinstance(value, list) else [{"name": "", "template": value}]
    named = all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in entries)
    if value is not None and not (named and all(isinstance(one.get("template"), str) for one in entries)):
        raise ModelCorrupt(f"`{settings.path}` has a `chat_template` that is neither a text nor a list of named texts")
    return value


def _is_text(text: str) -> bool:
    """Say whether a text can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _roles(folder: Path, named: Mapping[str, str], tokens: Sequence[str]) -> dict[str, Any]:
    """Return the ids of the tokens with a role, by the names that GGUF files have for them."""
    places = {token: place for place, token in enumerate(tokens)}
    roles: dict[str, Any] = {}
    for role, key in _ROLES.items():
        text = named.get(key)
        if text in places:
            roles[f"{role}_token_id"] = places[text]
        elif text and role != "padding":
            raise ModelCorrupt(f"`{folder}` says `{key}` is `{shown(text)}`, which is no token")
    ends: list[int] = []
    for name in ("generation_config.json", CONFIG_NAME):
        value = ConfigFile.read(folder / name, optional=True).values.get("eos_token_id")
        ends += value if isinstance(value, list) else [] if value is None else [value]
    if ends:
        roles.setdefault("eos_token_id", ends[0])
        roles["eos_token_ids"] = tuple(ends)
    return roles
