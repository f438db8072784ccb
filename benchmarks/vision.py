"""Compare olpipe with llama.cpp's server on photos: records a second, where the time goes, memory, and CPU time.

    python benchmarks/vision.py --llama-python PYTHON [--shape qwen3-vl-2b] [--photos 16] [--repeats 3] [--threads 2]

Both sides read the same two GGUF files. `--files FOLDER` is where they are, as `model.gguf` and `projector.gguf`. Where
they do not exist, files with random weights and the sizes of `--shape` are written there. PYTHON is an interpreter with
the package `xllamacpp`. Without it, only olpipe is measured. `--folder FOLDER` takes the photos from a folder.

Both sides get the same photos, as JPEG files whose size needs no padding, the same prompt, threads, JSON Schema and
`max_tokens`. Nothing is kept from photo to photo: every turn has new photos, and the photo comes first in the prompt.
llama.cpp keeps its KV cache in 16 bits, and flash attention is on, as it chooses itself. First, each side answers the
batch once with every number of slots in `--slots`, and keeps the number that was fastest. Then the sides take turns.
Figures are medians, and ratios are formed turn by turn.

There are three kinds of documents. `photo-tags` is the recipe's schema. Random weights fill it with random text up to
its limits, and the two sides write different numbers of tokens. `equal size` is a record whose texts and lists have one
possible size. All texts are capital letters, each of which is a token, and the longer tokens of property names are
preferred. So both sides write documents of equal size and of equal numbers of tokens. olpipe does not ask the model for
those that the schema leaves no choice about. `free text` has no schema: both sides write the same number of tokens, and
no grammar costs anything. Everything is sampled at temperature 1, because random weights repeat the likeliest token for
ever, and olpipe ends texts that repeat themselves. A trained model writes most tokens of a schema by itself, and a
random model does not. llama.cpp checks the whole vocabulary wherever the model's own token is not allowed, so
`photo-tags` shows it slower than it is with a trained model.

The CPU time of a side is that of its processes. On a machine that does other work at the same time, it is a better
measure than the clock, best with `--threads 1`, where no thread waits for another one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
from vision_files import SHAPES
from vision_material import Document, documents, model_files, photos, photos_of
from vision_sides import STAGES, Answer, LlamaCpp, Olpipe, Side, add_model

from olpipe.settings import Settings

BARS = {"single photo": (1.0, "at least"), "batch": (1.5, "at least"), "memory": (1.2, "at most")}
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side did in one turn.

    Attributes:
        seconds: By the clock.
        cpu_seconds: Of its processes, user and system.
        peak_bytes: The most resident memory of its process.
        answers: Its answers.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    answers: list[Answer]


def main() -> int:
    """Print the tables."""
    arguments = _arguments()
    settings = Settings.read()
    files = model_files(arguments.files / arguments.shape, arguments.shape)
    name = f"benchmark/{arguments.shape}"
    add_model(name, files, settings, arguments.precision)
    kinds = [one for one in documents(files[0], arguments.max_tokens) if one.name in arguments.documents.split(",")]
    makers = side_makers(name, settings, files, arguments)
    given = PhotoSource(arguments)
    best = {side: best_slots(side, make, given, kinds[0], arguments) for side, make in makers.items()}
    sides = [make(best[side]) for side, make in makers.items()]
    try:
        print_tokens(sides, kinds[-1], given.batch(1))
        for document in kinds:
            measure(f"Single photo, {document.name}", sides, document, given, 1, arguments.repeats)
            measure(f"Batch of {arguments.photos}, {document.name}", sides, document, given, arguments.photos,
                    arguments.repeats)  # fmt: skip
        print_memory(sides)
    finally:
        for side in sides:
            side.close()
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=Path, default=Path("/tmp/vision-benchmark"))
    parser.add_argument("--shape", choices=SHAPES, default="qwen3-vl-2b")
    parser.add_argument("--precision", default="int4")
    parser.add_argument("--llama-python", type=Path)
    parser.add_argument("--llama-image-tokens", type=int, help="0 takes llama.cpp's own; the default is that of olpipe")
    parser.add_argument("--flash", choices=("auto", "on", "off"), default="auto")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--photos", type=int, default=16)
    parser.add_argument("--side", type=int, default=512, help="pixels of a side of the photos")
    parser.add_argument("--image-tokens", type=int, default=256)
    parser.add_argument("--max-tokens", type=int, default=320)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--slots", default="1,2,4,8")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--documents", default="equal size,photo-tags,free text")
    return parser.parse_args()


class PhotoSource:
    """Gives photos that no side has seen before."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._folder, self._side, self._turn = arguments.folder, arguments.side, 0

    def batch(self, count: int) -> list[bytes]:
        self._turn += 1
        if self._folder is None:
            return photos(count, self._side, seed=self._turn)
        return photos_of(self._folder, count, self._side, turn=self._turn)


def side_makers(
    name: str, settings: Settings, files: tuple[Path, Path], arguments: argparse.Namespace
) -> dict[str, Callable[[int], Side]]:
    """Return what starts each side with a number of slots."""
    tokens, threads = arguments.image_tokens, arguments.threads

    def start_olpipe(slots: int) -> Side:
        return Olpipe(name, settings, slots=slots, image_tokens=tokens, threads=threads)

    def start_llama(slots: int) -> Side:
        asked = tokens if arguments.llama_image_tokens is None else arguments.llama_image_tokens
        return LlamaCpp(
            arguments.llama_python, files, slots=slots, image_tokens=asked, threads=threads, flash=arguments.flash
        )

    makers: dict[str, Callable[[int], Side]] = {"olpipe": start_olpipe}
    if arguments.llama_python is None:
        print("without --llama-python PYTHON, llama.cpp is not measured", file=sys.stderr)
    else:
        makers["llama.cpp"] = start_llama
    return makers


def best_slots(
    side: str, make: Callable[[int], Side], source: PhotoSource, document: Document, arguments: argparse.Namespace
) -> int:
    """Return the number of slots with which a side answers a batch fastest."""
    numbers = [int(one) for one in arguments.slots.split(",")]
    if len(numbers) == 1:
        return numbers[0]
    seconds = {}
    for slots in numbers:
        with make(slots) as started:
            turn(started, source.batch(1), replace(document, max_tokens=8))
            found = turn(started, source.batch(arguments.photos), document)
        seconds[slots] = found.seconds
        print(f"{side}, {slots} slots: {found.seconds:.1f} s, CPU {found.cpu_seconds:.1f} s", flush=True)
    return min(seconds, key=seconds.__getitem__)


def turn(side: Side, batch: Sequence[bytes], document: Document) -> Turn:
    """Have a side answer a batch."""
    forget_peak(side.pid)
    before, started = cpu_seconds(side.pid), time.perf_counter()
    answers = side.batch(batch, document)
    seconds = time.perf_counter() - started
    return Turn(seconds, cpu_seconds(side.pid) - before, peak_bytes(side.pid), answers)


def measure(
    title: str, sides: Sequence[Side], document: Document, source: PhotoSource, count: int, repeats: int
) -> None:
    """Have the sides answer in turns, and print a table."""
    found: dict[str, list[Turn]] = {side.name: [] for side in sides}
    for _ in range(repeats):
        batch = source.batch(count)
        for side in sides:
            found[side.name].append(turn(side, batch, document))
    print(f"\n{title}; load of the machine {os.getloadavg()[0]:.1f}\n")
    columns = ("", "slots", "records/s", "seconds", "CPU s a record", "tokens a record", "picked", *STAGES, "peak MiB")
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for side in sides:
        print(f"| {side.name} | {side.slots} | {' | '.join(cells(found[side.name], count))} |", flush=True)
    if len(sides) == 2:
        print_ratios(*found.values(), bar="single photo" if count == 1 else "batch")


def cells(turns: Sequence[Turn], count: int) -> list[str]:
    """Return the medians of some turns."""
    seconds = statistics.median(one.seconds for one in turns)
    answers = [answer for one in turns for answer in one.answers]
    stages = []
    for stage in STAGES:
        known = [spent for answer in answers if (spent := answer.stages.get(stage)) is not None]
        stages.append(f"{statistics.mean(known):.2f}" if known else "-")
    return [
        f"{count / seconds:.3f}",
        f"{seconds:.2f}",
        f"{statistics.median(one.cpu_seconds for one in turns) / count:.2f}",
        f"{statistics.mean(answer.tokens for answer in answers):.0f}",
        f"{statistics.mean(answer.forwards for answer in answers):.0f}",
        *stages,
        f"{max(one.peak_bytes for one in turns) / MIB:.0f}",
    ]


def print_ratios(ours: Sequence[Turn], theirs: Sequence[Turn], *, bar: str) -> None:
    """Print how many times faster olpipe is, turn by turn."""
    pairs = list(zip(ours, theirs, strict=True))
    clock = statistics.median(other.seconds / one.seconds for one, other in pairs)
    cpu = statistics.median(other.cpu_seconds / one.cpu_seconds for one, other in pairs)
    memory = statistics.median(one.peak_bytes / other.peak_bytes for one, other in pairs)
    print(f"\nolpipe is {clock:.2f} times as fast ({BARS[bar][1]} {BARS[bar][0]}), by CPU time {cpu:.2f};", end=" ")
    print(f"it takes {memory:.2f} times the memory ({BARS['memory'][1]} {BARS['memory'][0]})", flush=True)


def print_tokens(sides: Sequence[Side], document: Document, batch: Sequence[bytes]) -> None:
    """Print how many tokens a photo is for each side. This turn also warms them up."""
    short = replace(document, max_tokens=8)
    for side in sides:
        (seen,), unseen = side.batch(batch, short), side.answer(None, short)
        print(f"{side.name}: {seen.prompt_tokens} tokens of the prompt, {unseen.prompt_tokens} without the photo")


def print_memory(sides: Sequence[Side]) -> None:
    """Print the memory of each side's process by kind."""
    for side in sides:
        full = psutil.Process(side.pid).memory_info()
        shared = getattr(full, "shared", 0)
        print(f"{side.name}: resident {full.rss / MIB:.0f} MiB, of which {shared / MIB:.0f} MiB are parts of files")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and of its children."""
    process = psutil.Process(pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))


def peak_bytes(pid: int) -> int:
    """Return the most memory that a process had since `forget_peak`."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


def forget_peak(pid: int) -> None:
    """Have the system forget the most memory that a process had."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


if __name__ == "__main__":
    sys.exit(main())
