"""A good backend in numpy: it builds, sees photos, answers two sequences at once and makes vectors.

Its model has random weights. Each token and each part of a photo adds its row to what is held, and the logits are
those of everything held, the latest counting most.
"""

import json
import os
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from mutants.breaking import Mutants

from olpipe.decoding.logits_runner import LogitsRunner
from olpipe.decoding.prompt import PlacedImage, Prompt
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.embedding import Embeddings
from olpipe.errors import ContextExceeded, ModelCorrupt, UsageError
from olpipe.interfaces import Backend, Progress
from olpipe.messages import ImagePart
from olpipe.model import ModelBundle, ModelConfig, ModelName, RunnerInfo
from olpipe.testing.models import write_tokenizer

WIDTH, PARTS, CONTEXT = 12, 4, 500
CONFIG = "tiny.json"


class TinySequence:
    """Keeps what was read, (tokens, WIDTH)."""

    def __init__(self, weights, capacity):
        self.weights, self.capacity = weights, capacity
        self.held = np.zeros((0, WIDTH), np.float32)

    def prefill(self, prompt, start):
        rows = self.weights["tokens"][list(prompt.tokens)]
        for image in prompt.images:
            rows[image.start : image.start + image.length] = image.features["parts"] @ self.weights["colours"]
        return self.read(rows[start:])

    def decode(self, tokens):
        return self.read(self.weights["tokens"][list(tokens)])

    def read(self, rows):
        self.held = np.concatenate((self.held, rows))
        recent = 0.95 ** np.arange(len(self.held), dtype=np.float32)[::-1]
        return (self.weights["output"] @ (recent @ self.held)).astype(np.float32)

    def rewind(self, length):
        self.held = self.held[:length]


class TinyRunner(LogitsRunner):
    """Two answers side by side, each with its own sequence."""

    sequence = TinySequence
    markers = None

    def __init__(self, weights, vocabulary, options, system):
        self.weights, self.vocabulary, self.system = weights, vocabulary, system
        context = min(options.context_length or CONTEXT, CONTEXT)
        super().__init__(vocabulary, self.open, self.render, context_length=context, markers=self.markers)
        slots = min(options.slots or 2, 2)
        self.info = RunnerInfo(context, slots, fit_pixels=10_000, embeds=True)
        self.answers = {}

    def open(self, length):
        return self.sequence(self.weights, length)

    def render(self, request):
        if request.suffix is not None or request.raw:
            raise UsageError("this model chats")
        told = [(message.role, message.parts) for message in request.messages]
        if self.system and "system" not in [role for role, _ in told]:
            told.insert(0, ("system", self.system))
        tokens, images = [], []
        for role, parts in told:
            tokens += self.text(f"{role}: ")
            for part in [parts] if isinstance(parts, str) else parts:
                if isinstance(part, ImagePart):
                    images.append(self.show(part.image, len(tokens)))
                    tokens += [0] * PARTS
                else:
                    tokens += self.text(part if isinstance(part, str) else part.text)
        return Prompt((*tokens, *self.text("\nassistant: ")), tuple(images))

    def text(self, text):
        return self.vocabulary.encode(self.vocabulary.quote(text))

    def show(self, image, start):
        """Return the mean colour of each quarter of a photo."""
        quarters = [quarter for half in np.array_split(image.pixels, 2) for quarter in np.array_split(half, 2, axis=1)]
        parts = np.array([quarter.mean(axis=(0, 1)) / 255 for quarter in quarters], np.float32)
        return PlacedImage(start, PARTS, image.digest(), {"parts": parts})

    def start(self, sequence_id, prepared):
        if len(self.answers) == self.info.slots:
            raise ValueError("all slots are taken")
        self.answers[sequence_id] = self.generate(prepared)

    def step(self):
        said = [(sequence_id, next(chunks)) for sequence_id, chunks in self.answers.items()]
        for sequence_id, chunk in said:
            if chunk.finish_reason is not None:
                self.stop(sequence_id)
        return said

    def stop(self, sequence_id):
        chunks = self.answers.pop(sequence_id, None)
        if chunks is not None:
            chunks.close()

    def embed(self, request):
        texts = [self.text(text) for text in request.texts]
        if not request.truncate and any(len(tokens) > self.info.context_length for tokens in texts):
            raise ContextExceeded("a text is too long")
        texts = [tokens[: self.info.context_length] for tokens in texts]
        if request.dimensions is not None and request.dimensions > WIDTH:
            raise UsageError(f"there are {WIDTH} dimensions")
        means = [self.weights["tokens"][tokens].mean(axis=0) for tokens in texts]
        vectors = np.array(means, np.float32).reshape(len(texts), WIDTH)[:, : request.dimensions]
        return Embeddings(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), sum(map(len, texts)))


class TinyBackend(Backend):
    """Makes weights of a seed, once."""

    name, version = "tiny", "1"
    runner = TinyRunner

    def refuses(self, bundle):
        if not (bundle.path / CONFIG).is_file():
            return f"it has no {CONFIG}"
        try:
            read_seed(bundle)
        except ModelCorrupt as error:
            return error.message
        return None

    def build(self, bundle, progress):
        final = bundle.cache / "tiny-1"
        if final.is_dir():
            return
        bundle.cache.mkdir(parents=True, exist_ok=True)
        unfinished = Path(mkdtemp(dir=bundle.cache))
        try:
            self.make(bundle, unfinished, progress)
            os.rename(unfinished, final)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def make(self, bundle, folder, progress):
        random = np.random.default_rng(read_seed(bundle))
        size = read_vocabulary(bundle).size
        shapes = {"tokens": (size, WIDTH), "colours": (3, WIDTH), "output": (size, WIDTH)}
        for done, (name, shape) in enumerate(shapes.items()):
            progress(Progress("building", done, len(shapes), "arrays"))
            np.save(folder / f"{name}.npy", random.normal(size=shape).astype(np.float32))
        progress(Progress("building", len(shapes), len(shapes), "arrays"))

    def load(self, bundle, options):
        try:
            weights = {path.stem: np.load(path) for path in (bundle.cache / "tiny-1").glob("*.npy")}
            assert set(weights) == {"tokens", "colours", "output"}
            vocabulary = read_vocabulary(bundle)
        except (OSError, ValueError, AssertionError) as error:
            raise ModelCorrupt(f"`{bundle.name}` cannot be loaded: {error}") from error
        return self.runner(weights, vocabulary, options, bundle.system)


def read_seed(bundle):
    try:
        return int(json.loads((bundle.path / CONFIG).read_text())["seed"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelCorrupt(f"its {CONFIG} cannot be used: {error}") from error


def read_vocabulary(bundle):
    try:
        return vocabulary_of((bundle.path / "tokenizer.json").read_text(encoding="utf-8"))
    except (ValueError, KeyError) as error:
        raise ModelCorrupt(f"its tokenizer cannot be used: {error}") from error


@cache
def vocabulary_of(text):
    """Return the vocabulary of a tokenizer; all models here share one."""
    return Vocabulary(text, size=len(json.loads(text)["model"]["vocab"]), end_tokens=[2])


def tiny_bundle(folder):
    path = write_tokenizer(folder / "model")
    (path / CONFIG).write_text('{"seed": 1}')
    return ModelBundle(
        ModelName.parse("tiny"), f"sha256:{'0' * 64}", path, folder / "cache", ModelConfig("tiny", "none")
    )


class RunnerMutants(Mutants):
    """The good backend, then backends whose runners have a fault."""

    def __init__(self):
        super().__init__(TinyBackend)

    def runner(self, *caught_by):
        """Mark a runner's class as one with a fault, which its documentation names."""

        def add(runner):
            self.broken(*caught_by)(
                type(runner.__name__, (TinyBackend,), {"runner": runner, "__doc__": runner.__doc__})
            )
            return runner

        return add


class Forgets(TinyRunner):
    """Prepares other requests than it is given."""

    def prepare(self, request):
        return super().prepare(self.changed(request))


class Changes(TinyRunner):
    """Says something else than was generated."""

    def generate(self, prepared):
        for chunk in super().generate(prepared):
            yield self.changed(chunk)
