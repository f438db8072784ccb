"""Record what the reference, `transformers`, makes of conversations, for `test_renderings.py` to compare.

Run it by hand, in an environment that has `transformers`, and with the project on the path. Torch is not needed:

    PYTHONPATH=. python tests/families/record_renderings.py                       # the templates beside this file
    PYTHONPATH=. python tests/families/record_renderings.py NAME model.gguf       # that of a model
    PYTHONPATH=. python tests/families/record_renderings.py NAME tokenizer_config.json

A recording holds no template, only its digest: `test_renderings.py` takes the template from where the model lies.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import transformers
from transformers.utils import chat_template_utils as reference

from olpipe.convert.gguf import read_header
from olpipe.convert.tokenizer import read_tokenizer, tokenizer_config

HERE = Path(__file__).parent
NOW = datetime(2026, 11, 26, 15, 4, 5)
OWN_TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}

# How a template takes the content of messages: as texts, as parts, or as parts where there are images.
PARTS = {"parts": "always", "first_part": "always", "images_first": "always", "either": "images", "macro": "images"}
ARGUMENTS_AS_TEXT = {"joined_arguments"}


class Clock(datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


def main() -> None:
    parser = argparse.ArgumentParser(description="Record what the reference renders.")
    parser.add_argument("name", nargs="?", help="of the recording")
    parser.add_argument("source", nargs="?", type=Path, help="a GGUF file or a tokenizer_config.json")
    parser.add_argument("--into", type=Path, default=HERE / "renderings", help="folder of the recordings")
    arguments = parser.parse_args()
    reference.datetime = Clock
    if arguments.source:
        config = read_config(arguments.source)
        tokens = {name: token for name, token in config.items() if name.endswith("_token") and isinstance(token, str)}
        write(arguments.into / f"{arguments.name}.json", record(config["chat_template"], tokens))
        return
    for path in sorted((HERE / "templates").glob("*.jinja")):
        source = path.read_text(encoding="utf-8")
        as_text = path.stem in ARGUMENTS_AS_TEXT
        recorded = record(source, OWN_TOKENS, parts=PARTS.get(path.stem, "never"), arguments_as_text=as_text)
        write(arguments.into / f"{path.stem}.json", recorded)


def read_config(source: Path) -> dict[str, Any]:
    """Return what a `tokenizer_config.json` says, or would say of a GGUF file."""
    if source.suffix == ".json":
        return json.loads(source.read_text(encoding="utf-8"))
    header = read_header(source)
    return tokenizer_config(read_tokenizer(header), header.context_length)


def record(template: str, tokens: dict[str, str], *, parts: str = "never", arguments_as_text: bool = False):
    conversations = json.loads((HERE / "conversations.json").read_text(encoding="utf-8"))
    renderings = {}
    for name, conversation in conversations.items():
        if parts == "never" and has_images(conversation["messages"]):
            continue  # the reference has no way to show them
        messages = [spelled(message, parts, arguments_as_text) for message in conversation["messages"]]
        renderings[name] = render(template, tokens, messages, conversation)
    return {
        "reference": f"transformers {transformers.__version__}, jinja2 {jinja2.__version__}",
        "template": hashlib.sha256(template.encode()).hexdigest(),
        "tokens": tokens,
        "now": NOW.isoformat(),
        "parts": parts,
        "arguments_as_text": arguments_as_text,
        "renderings": renderings,
    }


def render(template: str, tokens: dict[str, str], messages: list[dict[str, Any]], conversation: dict[str, Any]):
    """Return the text, or why the reference refuses."""
    wishes: dict[str, Any] = {}
    if "think" in conversation:  # templates know this wish by two names
        wishes = dict.fromkeys(("enable_thinking", "thinking"), conversation["think"] == "on")
    try:
        texts, _ = reference.render_jinja_template(
            conversations=[messages],
            tools=conversation.get("tools"),
            chat_template=template,
            add_generation_prompt=True,
            **tokens,
            **wishes,
        )
    except Exception as error:  # noqa: BLE001 (whatever a template does, that is what is recorded)
        return {"refused": f"{type(error).__name__}: {error}"}
    return {"text": texts[0]}


def has_images(messages: list[dict[str, Any]]) -> bool:
    contents = [message["content"] for message in messages if isinstance(message["content"], list)]
    return any(part["type"] == "image" for content in contents for part in content)


def spelled(message: dict[str, Any], parts: str, arguments_as_text: bool) -> dict[str, Any]:
    """Return a message as somebody who knows the template gives it to the reference."""
    content = merged(message["content"])
    images = any(part["type"] == "image" for part in content)
    if parts == "never" or (parts == "images" and not images):
        content = "".join(part["text"] for part in content)
    calls = [
        {**call, "function": {**call["function"], "arguments": json.dumps(call["function"]["arguments"])}}
        for call in message.get("tool_calls", ())
    ]
    return {**message, "content": content, **({"tool_calls": calls} if calls and arguments_as_text else {})}


def merged(content: str | list[dict[str, str]]) -> list[dict[str, str]]:
    """Return content as parts. Texts side by side are two paragraphs, and templates would put them together."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    parts: list[dict[str, str]] = []
    for part in content:
        if parts and part["type"] == parts[-1]["type"] == "text":
            parts[-1] = {"type": "text", "text": f"{parts[-1]['text']}\n{part['text']}"}
        else:
            parts.append(part)
    return parts


def write(path: Path, recorded: dict[str, Any]) -> None:
    path.write_text(json.dumps(recorded, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    refused = sum("refused" in rendering for rendering in recorded["renderings"].values())
    print(f"{path.name}: {len(recorded['renderings'])} conversations, {refused} of them refused")


if __name__ == "__main__":
    main()
