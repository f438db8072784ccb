"""Tiny vision models, converted in float32, and what runs their parts one by one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from olpipe.convert.package import convert_gguf
from olpipe.decoding.prompt import PlacedImage, Prompt
from olpipe.default_plugins.onnx.cache import Cache
from olpipe.default_plugins.onnx.graph_inputs import GraphInputs
from olpipe.default_plugins.onnx.rows import Rows
from olpipe.default_plugins.onnx.runner import BatchedRunner
from olpipe.default_plugins.packages import read_model
from olpipe.families.vision_part import find_vision
from olpipe.generation import GenerateRequest, SamplingParams
from olpipe.image import DecodedImage
from olpipe.interfaces.vision import VisionConfig
from olpipe.messages import ImagePart, Message, TextPart
from olpipe.model import LoadOptions, ModelBundle, ModelName
from olpipe.sessions import open_session
from olpipe.testing.vision import texts
from olpipe.testing.vision_models import (
    TEXT_MODELS,
    text_content,
    write_monolithic_gguf,
    write_text_gguf,
    write_vision_gguf,
)

MANY_TOKENS = 4096  # as many as any image of the recordings becomes


@dataclass
class Tiny:
    """One converted model."""

    folder: Path
    gguf: Path
    projector: Path | None
    package: Path
    config: VisionConfig | None = None
    _session: object = field(default=None)

    @classmethod
    def make(cls, name, folder, *, precision="float32", single_file=False):
        if single_file:
            gguf, projector = write_monolithic_gguf(name, folder / "whole.gguf"), None
        elif name in TEXT_MODELS:
            gguf, projector = write_text_gguf(name, folder / "text.gguf"), None
        else:
            gguf, projector = write_vision_gguf(name, folder)
        package = folder / "package"
        package.mkdir()
        part = find_vision(gguf, projector)
        convert_gguf(gguf, package, vision=part, precision=precision, progress=lambda _: None)
        return cls(folder, gguf, projector, package, part and part.config)

    @property
    def session(self):
        """The session of the decoder."""
        if self._session is None:
            self._session = open_session(self.package / "model.onnx", threads=1)
        return self._session

    @property
    def window(self):
        return read_model(self.package)["decoder"].get("sliding_window", {}).get("window_size", 0)

    def runner(self, **options):
        bundle = ModelBundle(ModelName.parse("tiny"), "sha256:0", self.folder, self.folder)
        return BatchedRunner(self.package, bundle, LoadOptions(threads=1, **options))

    def rows(self, slots=4):
        """Return empty rows of a cache."""
        return Rows(
            lambda rows, length: Cache(self.session, rows=rows, length=length, window=self.window),
            slots=slots,
            context_length=2048,
        )

    def logits(self, prompt):
        """Return the logits behind a prompt, (vocab_size,)."""
        return self.rows(1).take(prompt, len(prompt) + 1).prefill(prompt)

    def hidden(self, prompt):
        """Return the normalised output of the last layer at every position, (length, width)."""
        feeds = {
            "input_ids": np.array([prompt.tokens]),
            "attention_mask": np.ones((1, len(prompt)), np.int64),
            **GraphInputs(self.session, window=self.window).of_prompt(prompt, 0, len(prompt)),
        }
        for one in self.session.get_inputs():
            if one.name.startswith("past_key_values."):
                feeds[one.name] = np.zeros((1, one.shape[1], 0, one.shape[3]), np.float32)
        return self.session.run(["hidden_states"], feeds)[0][0]


def output_matrix(name):
    """Return the matrix that turns hidden states into logits, (vocabulary, width)."""
    tensors = (texts.content(name, 0) if name in TEXT_MODELS else text_content(name)).tensors
    return tensors.get("output.weight", tensors["token_embd.weight"])


def request_of(turns, images, **options):
    """Return the request that asks what a conversation asks.

    Args:
        turns: Its turns, of user and assistant by turns. A turn is made of texts, and of None for the next image.
        images: The images, (height, width, 3) uint8.
        options: More of what a request has.
    """
    left = iter(images)
    messages = []
    for number, turn in enumerate(turns):
        parts = [ImagePart(decoded(next(left))) if part is None else TextPart(part) for part in turn]
        messages.append(Message("assistant" if number % 2 else "user", tuple(parts)))
    return GenerateRequest("tiny", tuple(messages), sampling=SamplingParams(max_tokens=8), **options)


def decoded(pixels):
    return DecodedImage(pixels, width=pixels.shape[1], height=pixels.shape[0])


def prompt_of(case, placeholder, rotary=lambda number: None):
    """Return the prompt of a recorded conversation, with the features that the reference computed.

    Placeholders side by side count as one image, so an image that is cut into tiles counts as several.

    Args:
        case: The conversation.
        placeholder: The id of the token at whose places features stand.
        rotary: Returns the rotary positions of an image by its number, as its family makes them.
    """
    if case.features is None:
        return Prompt(case.token_ids)
    places = {at for at, token in enumerate(case.token_ids) if token == placeholder}
    starts = [at for at in sorted(places) if at - 1 not in places]
    images, row = [], 0
    for start in starts:
        length = next(size for size in range(len(places) + 1) if start + size not in places)
        features = {"features": case.features[row : row + length]}
        if case.deepstack is not None:
            features["deepstack"] = case.deepstack[:, row : row + length]
        images.append(PlacedImage(start, length, f"image {row}", features, rotary=rotary(len(images))))
        row += length
    return Prompt(case.token_ids, tuple(images))
