"""A model's chat template: the Jinja text that turns a conversation into the text that the model was trained to read.

It is rendered as the library transformers does it, which model makers take as their reference. So all backends render
alike.
Source: https://github.com/huggingface/transformers/blob/main/src/transformers/utils/chat_template_utils.py
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from olpipe.errors import ModelCorrupt, UsageError
from olpipe.families.template_language import is_jinja
from olpipe.families.turns import Turn
from olpipe.generation import Thinking

PLAIN = "{% for message in messages %}{{ message['content'] }}{% if not loop.last %}{{ '\n\n' }}{% endif %}{% endfor %}"
"""The template of a model that has none. It gives the texts alone, for a model that was never trained to chat."""

# What Python may raise while it runs a template's code. Jinja has errors of its own beside these.
_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
_NONCHARACTERS = re.compile("[\ufdd0-\ufdef]")  # they mark places in texts, and no person should see them
_MOST_OF_A_MESSAGE = 300  # characters of another library's message in an error


@dataclass(frozen=True, slots=True)
class TemplateFiles:
    """What the files of a package say about its chat template.

    Attributes:
        source: The template's text.
        special_tokens: The texts of tokens with a role, by the names that templates use: `bos_token`, `eos_token`, …
        adds_begin: Whether `bos_token` is put before a text that has no template.
        tool_source: The text of a template for conversations with tools; empty where `source` is for all conversations.
        is_plain: Whether the files have no template, so that `source` gives the texts alone.
    """

    source: str
    special_tokens: Mapping[str, str]
    adds_begin: bool
    tool_source: str = ""
    is_plain: bool = False

    def or_else(self, source: str) -> TemplateFiles:
        """Return the same with another template where the files have none, and that template is not empty."""
        return replace(self, source=source, is_plain=False) if self.is_plain and source else self

    def instead(self, source: str) -> TemplateFiles:
        """Return the same with another template for all conversations.

        A template in Go's language takes the place of none in Jinja: it is used where the files have no template.
        """
        if not source or not (self.is_plain or is_jinja(source)):
            return self
        return replace(self, source=source, tool_source="", is_plain=False)

    @classmethod
    def read(cls, package: Path) -> TemplateFiles:
        """Read the files as model makers write them: `tokenizer_config.json`, `chat_template.jinja` and others.

        Raises:
            ModelCorrupt: The files are damaged.
        """
        try:
            config = _json(package / "tokenizer_config.json")
            tokens = {**_special_tokens(_json(package / "special_tokens_map.json")), **_special_tokens(config)}
            adds_begin = config.get("add_bos_token") is True
            named = _sources(package, config)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            reason = f"`{error.args[0]}` is missing" if isinstance(error, KeyError) else error
            raise ModelCorrupt(f"the chat template in `{package}` cannot be read: {reason}") from error
        plain = "{{ bos_token }}" + PLAIN if adds_begin else PLAIN
        source = named.get("default") or next(iter(named.values()), "")
        return cls(source or plain, tokens, adds_begin, named.get("tool_use", ""), is_plain=not source)


class ChatTemplate:
    """A compiled template. It renders one conversation at a time.

    Attributes:
        shape: In which form it expects a conversation.
    """

    writes_begin = True

    def __init__(
        self,
        source: str,
        special_tokens: Mapping[str, str] | None = None,
        *,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        """Compile a template.

        Args:
            source: The Jinja text.
            special_tokens: The texts of tokens with a role, by the names that the template uses.
            now: Returns the time, for a template that writes the date.

        Raises:
            ModelCorrupt: The text is not a valid template.
        """
        from jinja2 import TemplateError

        from olpipe.families.sandbox import Sandbox
        from olpipe.families.template_shape import TemplateShape

        self._sandbox = Sandbox(now)
        self._special_tokens = dict(special_tokens or {})
        try:
            tree = self._sandbox.parse(source)
            self.shape = TemplateShape.of(tree)
            self._template = self._sandbox.compile_limited(tree)
        except (TemplateError, *_FAULTS) as error:
            line = getattr(error, "lineno", None)
            where = f" (line {line})" if line else ""
            raise ModelCorrupt(f"the model's chat template is not valid: {_in_one_line(error)}{where}") from error

    def render(
        self, turns: Sequence[Turn], *, tools: Sequence[Mapping[str, Any]] = (), think: Thinking | None = None
    ) -> str:
        """Return the text that the model continues with its answer.

        Args:
            turns: The conversation, as `turns_of` makes it.
            tools: The tools that the model may call, as `described` makes them.
            think: Whether the model thinks first; None leaves that to the template.

        Raises:
            UsageError: The template does not take such a conversation.
            ModelCorrupt: The template does something that the sandbox forbids.
        """
        from jinja2 import TemplateError
        from jinja2.exceptions import SecurityError

        from olpipe.families.sandbox import Refused

        # 1. These names are always there, as in the reference. Templates may ask whether they are none.
        variables: dict[str, Any] = {"tools": list(tools) or None, "documents": None, "add_generation_prompt": True}
        # 2. Templates disagree on the name that tells them whether to think. So both names are given.
        if think is not None:
            variables |= {"enable_thinking": think != "off", "thinking": think != "off"}
            if think not in ("off", "on"):
                variables["reasoning_effort"] = think
        # 3. What the template raises becomes an error that says who is to blame: the conversation or the template.
        try:
            return self._sandbox.render_limited(
                self._template, {**self._special_tokens, "messages": turns, **variables}
            )
        except Refused as error:
            raise UsageError(f"the model's chat template refuses this conversation: {_in_one_line(error)}") from error
        except SecurityError as error:
            raise ModelCorrupt(f"the model's chat template does something forbidden: {_in_one_line(error)}") from error
        except (TemplateError, *_FAULTS) as error:
            raise UsageError(f"the model's chat template fails on this conversation: {_in_one_line(error)}") from error


def _in_one_line(error: BaseException) -> str:
    """Return an error's message on one line, shortened, or the name of its class where it has none."""
    text = " ".join(_NONCHARACTERS.sub("", str(error)).split()) or type(error).__name__
    return text if len(text) <= _MOST_OF_A_MESSAGE else f"{text[:_MOST_OF_A_MESSAGE]} …"


def _text(path: Path) -> str:
    """Return the text of a file; empty where there is no file."""
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _json(path: Path) -> dict[str, Any]:
    """Return the JSON object of a file; empty where there is no file."""
    value = json.loads(_text(path) or "{}")
    if not isinstance(value, dict):
        raise ValueError(f"`{path.name}` is not a JSON object")
    return value


def _special_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the special tokens of a configuration. Each is given as a text, or as an object with the text in it."""
    extra = config.get("extra_special_tokens")
    named = {name: value for name, value in config.items() if name.endswith("_token")}
    named |= extra if isinstance(extra, dict) else {}
    texts = ((name, value.get("content") if isinstance(value, dict) else value) for name, value in named.items())
    return {name: text for name, text in texts if isinstance(text, str)}


def _sources(package: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """Return templates by their names. There are older and newer places for them, and newer places take precedence."""
    named = _named(config.get("chat_template"))
    named |= _named(_json(package / "chat_template.json").get("chat_template"))
    if source := _text(package / "chat_template.jinja"):
        named["default"] = source
    more = sorted((package / "additional_chat_templates").glob("*.jinja"))
    return named | {path.stem: _text(path) for path in more}


def _named(value: Any) -> dict[str, str]:
    """Return the templates of a configuration's entry by their names. One text alone is called `default`."""
    if isinstance(value, list):
        value = {entry["name"]: entry["template"] for entry in value}
    named = value if isinstance(value, dict) else {"default": value or ""}
    if not all(isinstance(source, str) for source in named.values()):
        raise ValueError("`chat_template` is neither a text nor a list of texts with names")
    return {name: source for name, source in named.items() if source}
