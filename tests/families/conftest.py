"""Conversations as values, and small vocabularies with special tokens."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from olpipe.convert.gguf import open_gguf
from olpipe.convert.vision_file import open_vision
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.families.chat_template import TemplateFiles
from olpipe.families.rendering import ChatRenderer
from olpipe.generation import Tool
from olpipe.image import DecodedImage
from olpipe.messages import ImagePart, Message, TextPart, ThinkingPart, ToolCallPart, ToolResultPart
from olpipe.testing.models import SPECIAL_TOKENS, write_tokenizer
from olpipe.testing.vision_models import projector_content

PHOTO = DecodedImage(np.zeros((2, 2, 3), np.uint8), width=2, height=2)


@dataclass(frozen=True)
class Conversation:
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    think: str | None


@pytest.fixture(scope="session")
def conversation():
    """Return what reads a conversation of `conversations.json` by its name."""
    written = json.loads(Path(__file__).with_name("conversations.json").read_text(encoding="utf-8"))

    def conversation(name):
        entry = written[name]
        functions = [tool["function"] for tool in entry.get("tools", ())]
        return Conversation(
            tuple(map(message, entry["messages"])),
            tuple(Tool(one["name"], one["description"], json.dumps(one["parameters"])) for one in functions),
            entry.get("think"),
        )

    return conversation


def message(entry):
    content = entry["content"]
    parts = [TextPart(content)] if isinstance(content, str) else [part(one) for one in content]
    if entry["role"] == "tool":
        parts[0] = ToolResultPart(entry["tool_call_id"], entry["name"], parts[0].text)
    if "reasoning_content" in entry:
        parts.insert(0, ThinkingPart(entry["reasoning_content"]))
    calls = [(call["id"], call["function"]) for call in entry.get("tool_calls", ())]
    parts += [ToolCallPart(call_id, one["name"], json.dumps(one["arguments"])) for call_id, one in calls]
    return Message(entry["role"], tuple(parts))


def part(entry):
    return ImagePart(PHOTO) if entry["type"] == "image" else TextPart(entry["text"])


@pytest.fixture(scope="session")
def spelled():
    """Return the spellings of all special tokens that the tests have made."""
    return set(SPECIAL_TOKENS)


@pytest.fixture(scope="session")
def vocabulary_with(tmp_path_factory, spelled):
    """Return what makes a vocabulary of bytes and a few words that has more special tokens."""
    content = json.loads((write_tokenizer(tmp_path_factory.mktemp("words")) / "tokenizer.json").read_text("utf-8"))
    size = len(content["model"]["vocab"])
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}

    def vocabulary_with(*spellings):
        spelled.update(spellings)
        added = [{"id": size + at, "content": spelling, **flags} for at, spelling in enumerate(spellings)]
        vocab = content["model"]["vocab"] | {token["content"]: token["id"] for token in added}
        more = {"added_tokens": content["added_tokens"] + added, "model": {**content["model"], "vocab": vocab}}
        return Vocabulary(json.dumps(content | more), size=size + len(added), end_tokens=[2])

    return vocabulary_with


@pytest.fixture(scope="session")
def vocabulary(vocabulary_with):
    return vocabulary_with()


@pytest.fixture(scope="session")
def renderer(vocabulary):
    """Return what makes a renderer of the vocabulary for a template."""

    def renderer(template, *, tokens=None, adds_begin=False, tool_template="", vocabulary=vocabulary, **options):
        files = TemplateFiles(template, tokens or {}, adds_begin, tool_template)
        return ChatRenderer(vocabulary, files, **options)

    return renderer


@pytest.fixture(scope="session")
def shown(vocabulary, spelled):
    """Return what shows the tokens of a prompt as text, those that are special by their spelling."""

    def shown(prompt, vocabulary=vocabulary):
        return vocabulary.bytes_of(prompt.tokens, visible=vocabulary.special_in(spelled)).decode()

    return shown


@pytest.fixture
def vision_file(tmp_path):
    """Return what writes a tiny projector file and reads it: what it says, which may be changed, and its tensors."""

    def vision_file(family, **more_tensors):
        content = projector_content(family)
        content.tensors.update(more_tensors)
        read = open_vision(open_gguf(content.write(tmp_path / "mmproj.gguf")))
        return dict(read.metadata), read

    return vision_file
