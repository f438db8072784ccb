"""Train the adapter of `photo-mini`'s language model.

    python -m training.train CAPTIONS MODEL.gguf [--out adapter.safetensors]

The training has three stages. Each stage makes its own pairs with `training.pairs`, from new evidence. It learns from
most of them, and measures its loss on one pair in twenty. The pairs and their order are the same every time.

It takes about an hour on two idle CPU cores. Where there is a GPU, it uses the GPU.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from olpipe_photo_mini.source import PRECISION
from torch import Tensor

from olpipe.convert.adapter import read_adapter, write_adapter
from olpipe.convert.gguf import read_header
from olpipe.convert.package import PRECISIONS
from olpipe.convert.tokenizer import read_tokenizer, tokenizer_json
from olpipe.decoding.vocabulary import Vocabulary
from training.chat import encode
from training.llama import Llama
from training.pairs import make_pairs
from training.questions import USUAL, Mix

RANK, SCALE = 16, 2.0
BATCH = 8
LEARNING_RATE, WARM_UP_STEPS, LARGEST_GRADIENT = 4e-4, 20, 1.0
LONGEST = 160  # tokens of a pair
SNAPSHOT_STEPS = 25  # steps from one save to the next
ROUNDING_STEPS = 16  # steps from one rounding of the matrices to the next
HELD_OUT = 20  # one pair in this many is kept to measure the loss on
CHUNK = 16  # the pairs of this many batches are sorted by length, so that there is little padding

Example = tuple[list[int], int]


@dataclass(frozen=True)
class Stage:
    """A part of the training, with its own warm-up and decay.

    Attributes:
        precision: What the matrices are rounded to: a key of `PRECISIONS`.
        steps: How many batches it learns from.
        seed: Seed of its pairs and their order.
        questions: Which of its pairs are questions.
    """

    precision: str
    steps: int
    seed: int
    questions: Mix = USUAL


STAGES = (
    Stage(PRECISION, 200, 0),
    Stage(PRECISION, 120, 1, Mix(share=0.4, animals_times=20)),  # more questions: there are many kinds of them
    Stage(PRECISION, 120, 2),
)


def main() -> None:
    """Train and write the adapter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captions", type=Path)
    parser.add_argument("model", type=Path, help="the GGUF file")
    parser.add_argument("--out", type=Path, default=Path("adapter.safetensors"))
    parser.add_argument("--resume", type=Path, metavar="ADAPTER", help="start from this adapter")
    parser.add_argument("--first", type=int, default=1, metavar="N", help="start with stage N")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    model = Llama(options.model, rank=RANK, scale=SCALE)
    if options.resume:
        model.set_pairs(read_adapter(options.resume).pairs)
    model.to("cuda" if torch.cuda.is_available() else "cpu")

    def save() -> None:
        write_adapter(options.out, model.pairs(), scale=SCALE)

    for stage in STAGES[options.first - 1 :]:
        examples = read_examples(options.captions, options.model, stage)
        held_out, learnt = examples[::HELD_OUT], [one for at, one in enumerate(examples) if at % HELD_OUT]
        print(f"{stage}: {len(learnt)} pairs to learn from, {len(held_out)} to measure on", flush=True)
        train(model, learnt, stage, save)
        print(f"loss on pairs that this stage did not learn from: {measure(model, held_out):.4f}", flush=True)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")


def read_examples(captions: Path, model: Path, stage: Stage) -> list[Example]:
    """Return pairs as token ids, with the index of the answer's first token; pairs that are too long are left out."""
    header = read_header(model)
    tokenizer = read_tokenizer(header)
    size = header.tensors["token_embd.weight"].shape[0]
    vocabulary = Vocabulary(json.dumps(tokenizer_json(tokenizer)), size=size, end_tokens=tokenizer.special.ends)
    pairs = make_pairs(json.loads(captions.read_text(encoding="utf-8"))["captions"], stage.seed, stage.questions)
    examples = [encode(vocabulary, pair) for pair in pairs]
    return [example for example in examples if len(example[0]) <= LONGEST]


def train(model: Llama, examples: Sequence[Example], stage: Stage, save: Callable[[], None]) -> None:
    """Take steps of AdamW, with a linear warm-up and a linear decay. Call `save` now and then, and at the end."""
    blocks, steps = PRECISIONS[stage.precision].layers, stage.steps
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, LEARNING_RATE, weight_decay=0.0)
    batches = endless_batches(examples, random.Random(stage.seed))
    started, average = time.monotonic(), 0.0
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1, (step + 1) / WARM_UP_STEPS) * (1 - step / steps)
        if step % ROUNDING_STEPS == 0:
            model.round(blocks)
        loss = model.loss(*tensors(next(batches), parameters[0].device))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, LARGEST_GRADIENT)
        optimizer.step()
        optimizer.zero_grad()
        if step % SNAPSHOT_STEPS == SNAPSHOT_STEPS - 1:
            save()
        average = loss.item() if step == 0 else 0.95 * average + 0.05 * loss.item()
        if step % 10 == 0 or step == steps - 1:
            print(f"step {step}: loss {average:.3f}, {time.monotonic() - started:.0f} s", flush=True)
    model.round(blocks)
    save()


@torch.no_grad()
def measure(model: Llama, examples: Sequence[Example]) -> float:
    """Return the mean loss over batches of examples."""
    device = next(model.parameters()).device
    ordered = sorted(examples, key=lambda example: len(example[0]))
    batches = [ordered[at : at + BATCH] for at in range(0, len(ordered), BATCH)]
    return sum(model.loss(*tensors(batch, device)).item() for batch in batches) / len(batches)


def endless_batches(examples: Sequence[Example], chance: random.Random) -> Iterator[Sequence[Example]]:
    """Yield batches without end. Examples of similar length go together; each comes once before any comes again."""
    while True:
        order = chance.sample(examples, len(examples))
        for start in range(0, len(order), BATCH * CHUNK):
            chunk = sorted(order[start : start + BATCH * CHUNK], key=lambda example: len(example[0]))
            batches = [chunk[at : at + BATCH] for at in range(0, len(chunk), BATCH)]
            yield from chance.sample(batches, len(batches))


def tensors(batch: Sequence[Example], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return token ids, padded on the right, and whether each belongs to the answer: (batch, longest) each."""
    longest = max(len(ids) for ids, _ in batch)
    tokens = torch.zeros((len(batch), longest), dtype=torch.long)
    wanted = torch.zeros((len(batch), longest), dtype=torch.bool)
    for row, (ids, answer) in enumerate(batch):
        tokens[row, : len(ids)] = torch.tensor(ids)
        wanted[row, answer : len(ids)] = True
    return tokens.to(device), wanted.to(device)


if __name__ == "__main__":
    main()
