"""Measure what is saved when the common beginning of prompts is prefilled once, and whether an answer changes.

    python benchmarks/prefixes.py [--model photo-mini] [--requests 30]

It asks the runner of one sequence for records of photos. Each request is answered twice, in turns: with the sequences
that were kept from the requests before, and with none. There are two kinds of prompts: the recipe's one sentence before
the evidence, and the same behind two examples. It prints the share of prompt tokens that were reused, the median time
of a prompt both ways, and how many greedy and sampled answers differ. It fails when one differs.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from collections.abc import Iterator

from olpipe import machine
from olpipe.decoding.logits_runner import LogitsRunner
from olpipe.default_plugins.onnx.backend import package_folder
from olpipe.default_plugins.ort_genai.runner import TextRunner
from olpipe.generation import Chunk, GenerateRequest, Guidance, SamplingParams
from olpipe.interfaces import Prepared
from olpipe.messages import Message, TextPart
from olpipe.model import LoadOptions
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.build import backend_for, build
from olpipe.store.library import Library
from olpipe.store.resolve import resolve

PROMPT = TextPart("Describe the photo as JSON.")
PLACES = ("left", "center", "right")
THINGS = ("dog", "cat", "bench", "bus", "person", "kite", "umbrella", "toilet", "banana", "clock", "tv", "surfboard")
EXAMPLES = (
    (
        "photo: two dogs (center), frisbee (left)",
        '{"title":"Two dogs play with a frisbee","description":"Two dogs run after a frisbee on a lawn.",'
        '"alt":"Two dogs and a frisbee"}',
    ),
    (
        "photo: bus (left), four people (right), traffic light (center)",
        '{"title":"A bus stops at a street corner","description":"A bus waits at a traffic light while four people '
        'stand at the corner.","alt":"A bus and four people at a street corner"}',
    ),
)
TEXTS = ("title", "description", "alt")
SCHEMA = {
    "type": "object",
    "properties": {name: {"type": "string", "minLength": 1, "maxLength": 120} for name in TEXTS},
    "required": list(TEXTS),
    "additionalProperties": False,
}


def main() -> int:
    """Print a row for each kind of prompt; fail when an answer depends on what was kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="photo-mini")
    parser.add_argument("--requests", type=int, default=30)
    arguments = parser.parse_args()
    runners = load(TextRunner, arguments.model), load(ForgetfulRunner, arguments.model)
    differ = 0
    for name, examples in (("recipe's prompt", ()), ("with two examples", EXAMPLES)):
        generator = random.Random(0)
        requests = [request(arguments.model, examples, number, generator) for number in range(arguments.requests)]
        differ += measure(*runners, name, requests)
    return 0 if differ == 0 else 1


class ForgetfulRunner(TextRunner):
    """A runner that keeps nothing from request to request."""

    def generate(self, prepared: Prepared) -> Iterator[Chunk]:
        LogitsRunner.close(self)
        return super().generate(prepared)


def measure(runner: TextRunner, forgetful: TextRunner, name: str, requests: list[GenerateRequest]) -> int:
    """Answer every request both ways, print the row, and return how many answers differ."""
    differ = 0
    LogitsRunner.close(runner)  # what the rows before have left
    lasts: list[Chunk] = []
    prompt_ms: tuple[list[float], list[float]] = ([], [])
    for one in requests:
        text, last = answer(runner, one)
        alone, alone_last = answer(forgetful, one)
        differ += text != alone
        lasts.append(last)
        for times, chunk in zip(prompt_ms, (last, alone_last), strict=True):
            assert chunk.timings is not None
            times.append(chunk.timings.prompt_ns / 1e6)
    reused = sum(last.timings.reused_tokens for last in lasts if last.timings)
    tokens = sum(last.usage.prompt_tokens for last in lasts if last.usage)
    print(f"{name}: {tokens / len(requests):.0f} prompt tokens, {reused / tokens:.1%} reused;", end=" ")
    print("median prompt {:.1f} ms, without reuse {:.1f} ms;".format(*map(statistics.median, prompt_ms)), end=" ")
    print(f"{differ} of {len(requests)} answers differ")
    return differ


def request(
    model: str, examples: tuple[tuple[str, str], ...], number: int, generator: random.Random
) -> GenerateRequest:
    """Return the request for one photo, greedy and sampled in turns."""
    messages: list[Message] = []
    prompt: tuple[TextPart, ...] = (PROMPT,)
    for question, reply in examples:
        messages += [Message("user", (*prompt, TextPart(question))), Message.of("assistant", reply)]
        prompt = ()
    seen = generator.sample(THINGS, generator.randint(1, 5))
    evidence = "photo: " + ", ".join(f"{thing} ({generator.choice(PLACES)})" for thing in seen)
    messages.append(Message("user", (*prompt, TextPart(evidence))))
    sampling = SamplingParams(temperature=0.8 * (number % 2), seed=number, max_tokens=120)
    return GenerateRequest(model, tuple(messages), sampling, Guidance("json_schema", json.dumps(SCHEMA)))


def answer(runner: TextRunner, request: GenerateRequest) -> tuple[str, Chunk]:
    """Return an answer's text and its last chunk."""
    chunks = list(runner.generate(runner.prepare(request)))
    return "".join(chunk.text for chunk in chunks), chunks[-1]


def load(kind: type[TextRunner], model: str) -> TextRunner:
    """Load a model in this process, for one sequence at a time."""
    settings = Settings.read()
    plugins = Plugins.load(settings)
    library = Library(settings.models_folder, cache=settings.home / "cache")
    bundle = resolve(model, library, plugins, lambda progress: None)
    build(bundle, backend_for(bundle, plugins.backends), lambda progress: None)
    return kind(package_folder(bundle), bundle, LoadOptions(threads=machine.threads(machine.cores())))


if __name__ == "__main__":
    sys.exit(main())
