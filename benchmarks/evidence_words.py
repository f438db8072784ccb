"""Measure what each kind of word in the evidence is worth: python benchmarks/evidence_words.py FOLDER

It describes the photos of FOLDER as `benchmarks/quality.py` does: first with all of the evidence, then without one
kind of its words at a time. The model learnt with all of them. So the figures say what it uses, not what it could do
without.

For each it prints CHAIR-i, names mentioned, ROUGE-L of the description, distinct titles, photos whose three texts
differ, and median words of the description.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from quality import Report, describing, measure_captions, read_folder, run

from olpipe.describing import describer
from olpipe.generation import GenerateRequest
from olpipe.image import USUAL_PIXELS
from olpipe.messages import Message, Part, TextPart
from olpipe.perception.ground import Grounded, Grounder
from olpipe.perception.nouns import NUMBERS, SEVERAL
from olpipe.record import Evidence

OPENING = "photo: "
MEASURES = ("CHAIR-i", "ROUGE-L", "distinct titles", "all three texts differ", "median words of description")

Change = Callable[[GenerateRequest], GenerateRequest]


def without(pattern: str) -> Change:
    """Return what takes a pattern out of the line of evidence."""

    def change(request: GenerateRequest) -> GenerateRequest:
        return replace(request, messages=tuple(shorten(message) for message in request.messages))

    def shorten(message: Message) -> Message:
        return replace(message, parts=tuple(shortened(part) for part in message.parts))

    def shortened(part: Part) -> Part:
        if not isinstance(part, TextPart) or not part.text.startswith(OPENING):
            return part
        rest = re.sub(pattern, "", part.text.removeprefix(OPENING)).strip(", ")
        return TextPart(OPENING + (rest or "nothing recognised"))

    return change


CHANGES: dict[str, Change] = {
    "all": lambda request: request,
    "no counts": without(rf"\b({'|'.join((*NUMBERS, SEVERAL))}) "),
    "no places": without(r" \((left|center|right)\)"),
    "no sizes": without(r"\bsmall | close up"),
    "no doubts": without(r"\bmaybe "),
    "no labels of the whole photo": without(r"(?:^|, )[^,(]+(?=,|$)"),
    "no tones": without(r"(?:^|, )(night|greenery|black and white)(?=,|$)"),
    "no words avoided": lambda request: replace(request, avoid=()),
}


def grounder(change: Change) -> type[Grounder]:
    """Return a grounder whose requests are changed."""

    class Changed(Grounder):
        def ground(
            self, request: GenerateRequest, *, model_pixels: int = USUAL_PIXELS, found: Evidence | None = None
        ) -> Grounded:
            grounded = super().ground(request, model_pixels=model_pixels, found=found)
            return replace(grounded, request=change(grounded.request))

    return Changed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recipe", default="photo-tags")
    options = parser.parse_args()
    photos, _ = read_folder(options.folder)
    print(f"{'':<30}" + "".join(f"{measure:>30}" for measure in MEASURES))
    for name, change in CHANGES.items():
        vars(describer)["Grounder"] = grounder(change)
        report = Report()
        with describing(options.recipe, None) as work:
            measure_captions(report, list(run(photos, work)))
        print(f"{name:<30}" + "".join(f"{report.measures[measure]:>30}" for measure in MEASURES), flush=True)


if __name__ == "__main__":
    main()
