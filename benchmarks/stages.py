"""Measure what the stages of a recipe save by sharing one look at each photo.

    python benchmarks/stages.py [--shape smolvlm-500m] [--photos 6] [--repeats 5]

Two short questions are asked about every photo: as two stages of one recipe, and as two recipes in two runs. The model
has random weights in the shape of a real one that sees, so its answers mean nothing and take as long as real ones. The
arms take turns, each with photos that nobody has seen before. It prints the median time of a photo in each arm, and the
share of prompt tokens that were reused.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from vision_files import SHAPES
from vision_material import model_files, photos
from vision_sides import add_model, library

from olpipe.describing.recipe import Recipe
from olpipe.describing.recipe_file import parse_recipe
from olpipe.engine.manager import Engine
from olpipe.image import ImageFile, ImageRef
from olpipe.interfaces import Session
from olpipe.pipeline.job import DescribeJob
from olpipe.plugins import Plugins
from olpipe.record import Record
from olpipe.settings import Settings

QUESTIONS = {"facts": "What is in this photo?", "words": "Write a title for this photo."}
SIDE = 512


def schema(name: str) -> dict[str, object]:
    """Return a schema whose answer takes about 20 tokens."""
    text = {"type": "string", "minLength": 40, "maxLength": 48}
    return {"type": "object", "additionalProperties": False, "required": [name], "properties": {name: text}}


def recipes(model: str) -> dict[str, list[Recipe]]:
    """Return the recipes of each arm, in the order in which they are run."""
    head = {"name": "r", "task": "data", "model": model, "options": {"temperature": 0.0}}
    asked = [{"name": name, "prompt": prompt, "schema": schema(name)} for name, prompt in QUESTIONS.items()]
    apart = [parse_recipe({**head, "prompt": one["prompt"], "schema": one["schema"]}) for one in asked]
    return {"two stages": [parse_recipe({**head, "stages": asked})], "two recipes": apart}


@contextmanager
def sessions(model: str, settings: Settings) -> Iterator[dict[str, list[Session]]]:
    """Yield what describes photos in each arm. All of it asks one loaded model."""
    plugins = Plugins.load(settings)
    with ExitStack() as stack:
        engine = stack.enter_context(Engine(library(settings), plugins, settings))
        yield {
            arm: [
                stack.enter_context(DescribeJob(recipe, settings, plugins=plugins, engine=engine).open())
                for recipe in asked
            ]
            for arm, asked in recipes(model).items()
        }


def describe(work: Sequence[Session], files: Sequence[bytes]) -> tuple[float, float]:
    """Describe photos one by one, once for each session; return seconds a photo and the share of tokens reused."""
    started_s = time.monotonic()
    records = []
    for session in work:
        for number, data in enumerate(files):
            image = ImageFile(
                ImageRef(Path("x.jpg"), f"{number}", len(data), 0), hashlib.sha256(data).hexdigest(), data
            )
            records.append(session.work(image))
    seconds = (time.monotonic() - started_s) / len(files)
    assert all(isinstance(record, Record) for record in records), records
    found = [record for record in records if isinstance(record, Record)]
    prompt = sum(record.usage.prompt_tokens for record in found)
    return seconds, sum(record.timings.reused_tokens for record in found) / prompt


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=Path, default=Path("/tmp/vision-benchmark"))
    parser.add_argument("--shape", choices=SHAPES, default="smolvlm-500m")
    parser.add_argument("--photos", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    settings, model = Settings.read(), f"benchmark/{arguments.shape}"
    add_model(model, model_files(arguments.files / arguments.shape, arguments.shape), settings, "int4")
    found: dict[str, list[tuple[float, float]]] = {}
    with sessions(model, settings) as arms:
        for turn in range(arguments.repeats + 1):
            for arm, work in arms.items():
                seed = 2 * turn + (arm == "two recipes")
                measured = describe(work, photos(arguments.photos, SIDE, seed=seed))
                if turn:  # the first turn warms up
                    found.setdefault(arm, []).append(measured)
    print(
        f"load of the machine {os.getloadavg()[0]:.1f}\n\n| | seconds a photo | prompt tokens reused |\n|---|---|---|"
    )
    medians = {arm: statistics.median(seconds for seconds, _ in times) for arm, times in found.items()}
    for arm, times in found.items():
        print(f"| {arm} | {medians[arm]:.3f} | {statistics.median(share for _, share in times):.2f} |")
    print(f"\ntwo stages take {medians['two stages'] / medians['two recipes']:.2f} of the time of two recipes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
