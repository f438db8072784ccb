"""Measure how good the records of photos are, against COCO's boxes and human captions.

    python benchmarks/quality.py FOLDER [--perception-only] [--recipe photo-tags] [--examples 10] [--json]

FOLDER holds photos and `annotations.json` (COCO's format: images, annotations, categories, captions). Every photo
goes alone through what `olpipe batch` does with it. With `--perception-only` it goes through the perceiver only, which
needs no language model.

It prints these figures, those of the texts also for a baseline that lists the detections:

- F1 of the tags over the 80 COCO names, and F1 of the boxes at an overlap of 0.5, each with its 95 % bootstrap interval
  over photos; and tags that are no COCO names
- CHAIR-i: the share of COCO names mentioned, once a photo, that are neither annotated nor in a human caption. Words are
  matched by `coco_words.tsv`.
- distinct titles, photos whose three texts all differ, and texts that are empty or stop in the middle
- CIDEr-D of the description against the captions, where `--captions` names a file with the captions of many other
  photos, `{"captions": {"ID": ["…", …]}}`; and that of one caption of each photo against its others
- ROUGE-L of the description (best of the captions) and its median words
- seconds a photo after the first, and the most resident memory of all processes
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from caption_metrics import NounFinder, chair, rouge_l, template, words
from cider import CiderD
from detection_metrics import Counts, Thing, count_boxes, count_tags, interval

from olpipe.describing.recipe_file import read_recipe
from olpipe.engine.manager import Engine
from olpipe.image import ImageFile, ImageRef
from olpipe.imaging.decode import decode
from olpipe.pipeline.job import DescribeJob
from olpipe.plugins import Plugins
from olpipe.record import Failure, Record
from olpipe.settings import Settings
from olpipe.store.library import Library

TEXTS = ("title", "description", "alt")
DANGLING = frozenset(["a", "an", "the", "of", "with", "and", "or", "in", "on", "at", "to", "by", "for", "from", "near"])


@dataclass(frozen=True)
class Photo:
    """A photo and what people say of it."""

    path: Path
    things: tuple[Thing, ...]
    captions: tuple[str, ...]


@dataclass(frozen=True)
class Described:
    """A photo and what olpipe says of it."""

    photo: Photo
    values: Mapping[str, Any]
    seconds: float
    memory_bytes: int


@dataclass
class Report:
    """Measures by name, printed as text or JSON."""

    measures: dict[str, float] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def add(self, name: str, value: float, note: str = "") -> None:
        self.measures[name] = round(value, 4)
        self.lines.append(f"{name:<44} {value:>9.3f}  {note}".rstrip())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--perception-only", action="store_true", help="only tags and boxes, without a language model")
    parser.add_argument("--perceiver", default="photo-mini", help="whom to ask with --perception-only")
    parser.add_argument("--recipe", default="photo-tags")
    parser.add_argument("--model", help="another model than the recipe's")
    parser.add_argument("--captions", type=Path, metavar="FILE", help="captions of many other photos, for CIDEr-D")
    parser.add_argument("--examples", type=int, default=0, metavar="N", help="print N records, evenly spaced")
    parser.add_argument("--json", action="store_true", help="print the measures as one JSON object")
    options = parser.parse_args()

    photos, names = read_folder(options.folder)
    with (
        perceiving(options.perceiver) if options.perception_only else describing(options.recipe, options.model) as work
    ):
        described = list(run(photos, work))
    report = Report()
    measure_detection(report, described, names)
    if not options.perception_only:
        measure_captions(report, described)
    if options.captions is not None and not options.perception_only:
        measure_consensus(report, described, options.captions)
    measure_cost(report, described)
    print(json.dumps(report.measures) if options.json else "\n".join(report.lines))
    for number in range(min(options.examples, len(described))):
        one = described[number * len(described) // options.examples]
        record = json.dumps(dict(one.values), ensure_ascii=False)
        print(f"\n{one.photo.path.name}: {one.photo.captions[0].strip()}\n  {record}")


def read_folder(folder: Path) -> tuple[list[Photo], list[str]]:
    """Return the annotated photos and the names of all categories."""
    document = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    names = {category["id"]: category["name"] for category in document["categories"]}
    things: dict[int, list[Thing]] = {image["id"]: [] for image in document["images"]}
    captions: dict[int, list[str]] = {image["id"]: [] for image in document["images"]}
    for annotation in document["annotations"]:
        thing = Thing(names[annotation["category_id"]], tuple(annotation["bbox"]), bool(annotation["iscrowd"]))
        things[annotation["image_id"]].append(thing)
    for caption in document["captions"]:
        captions[caption["image_id"]].append(caption["caption"])
    photos = [
        Photo(folder / image["file_name"], tuple(things[image["id"]]), tuple(captions[image["id"]]))
        for image in document["images"]
    ]
    return photos, list(names.values())


Work = Callable[[Photo], Mapping[str, Any]]


@contextmanager
def perceiving(name: str) -> Iterator[Work]:
    """Yield what tags a photo and finds its objects with a perceiver alone."""
    plugins = Plugins.load(Settings.read())
    perceiver = plugins.perceivers.get(name)

    def work(photo: Photo) -> Mapping[str, Any]:
        data, suffix = photo.path.read_bytes(), photo.path.suffix
        image = decode(data, suffix, plugins.image_loaders, sizes=(perceiver.fit_pixels,))
        evidence = perceiver.perceive(image)
        objects = [
            {"x": one.box.x, "y": one.box.y, "w": one.box.w, "h": one.box.h, "type": one.label, "tags": one.tags}
            for one in evidence.objects
        ]
        return {"tags": [label.name for label in evidence.tags], "objects": objects}

    yield work


@contextmanager
def describing(recipe_name: str, model: str | None) -> Iterator[Work]:
    """Yield what makes a whole record of a photo, as a batch does."""
    settings = Settings.read()
    plugins = Plugins.load(settings)
    recipe = read_recipe(recipe_name).override(model=model)
    library = Library(settings.models_folder, cache=settings.home / "cache")
    with (
        tempfile.TemporaryDirectory() as home,  # evidence is kept in the home folder: here it is found anew
        Engine(library, plugins, settings) as engine,
        DescribeJob(recipe, replace(settings, home=Path(home)), plugins=plugins, engine=engine).open() as session,
    ):

        def work(photo: Photo) -> Mapping[str, Any]:
            data = photo.path.read_bytes()
            ref = ImageRef(photo.path, photo.path.name, len(data), photo.path.stat().st_mtime_ns)
            outcome = session.work(ImageFile(ref, hashlib.sha256(data).hexdigest(), data))
            if isinstance(outcome, Failure):
                raise SystemExit(f"{outcome.file}: {outcome.message}")
            assert isinstance(outcome, Record), "a job that knows no other pictures copies none"
            missing = [key for key in TEXTS if key not in outcome.values]  # where nothing was recognised
            return {**outcome.values, **dict.fromkeys(missing, "")}

        yield work


def run(photos: Sequence[Photo], work: Work) -> Iterator[Described]:
    """Describe the photos one after the other; the first is done twice, so that loading is not timed."""
    work(photos[0])
    for photo in photos:
        started = time.perf_counter()
        values = work(photo)
        seconds = time.perf_counter() - started
        yield Described(photo, values, seconds, resident_bytes())


def measure_detection(report: Report, described: Sequence[Described], names: Sequence[str]) -> None:
    tags = [count_tags(one.values["tags"], {thing.name for thing in one.photo.things}, names) for one in described]
    boxes = [count_boxes(found_things(one.values), one.photo.things) for one in described]
    for name, counts in (("tag F1", tags), ("box F1 at overlap 0.5", boxes)):
        total = sum(counts, Counts())
        low, high = interval(counts, lambda some: some.f1)
        note = f"95 %: {low:.3f} to {high:.3f}; precision {total.precision:.3f}, recall {total.recall:.3f}"
        report.add(name, total.f1, note)
    others = [len(set(one.values["tags"]) - set(names)) for one in described]
    report.add("other tags a photo", statistics.mean(others))
    tagged = [thing for one in described for thing in one.values["objects"] if thing["tags"]]
    report.add("objects with tags a photo", len(tagged) / len(described))


def found_things(values: Mapping[str, Any]) -> list[Thing]:
    return [Thing(thing["type"], (thing["x"], thing["y"], thing["w"], thing["h"])) for thing in values["objects"]]


def measure_captions(report: Report, described: Sequence[Described]) -> None:
    finder = NounFinder()
    present = [
        {thing.name for thing in one.photo.things}.union(*(finder.find(caption) for caption in one.photo.captions))
        for one in described
    ]
    baseline = [template([thing.name for thing in found_things(one.values)], one.values["tags"]) for one in described]
    silent = [one for one in described if not any(one.values[key] for key in TEXTS)]
    report.add("photos without texts", len(silent), f"of {len(described)}; their scores are 0")
    for suffix, texts in (("", [one.values for one in described]), (" of the template", baseline)):
        mentioned = [finder.find(". ".join(values[key] for key in TEXTS)) for values in texts]
        report.add(f"CHAIR-i{suffix}", chair(mentioned, present), f"{sum(map(len, mentioned))} names mentioned")
        titles = {values["title"].casefold() for values in texts if values["title"]}
        report.add(f"distinct titles{suffix}", len(titles), f"of {len(described)}")
        report.add(f"all three texts differ{suffix}", sum(map(all_differ, texts)), f"of {len(described)}")
        report.add(f"empty or cut-off texts{suffix}", sum(map(unfinished, texts)))
        scores = [
            rouge_l(values["description"], one.photo.captions) for values, one in zip(texts, described, strict=True)
        ]
        report.add(f"ROUGE-L{suffix}", statistics.mean(scores))
        lengths = [len(words(values["description"])) for values in texts]
        report.add(f"median words of description{suffix}", statistics.median(lengths))


def measure_consensus(report: Report, described: Sequence[Described], captions: Path) -> None:
    cider = CiderD(json.loads(captions.read_text(encoding="utf-8"))["captions"].values())
    scores = [cider.score(one.values["description"], one.photo.captions) for one in described]
    report.add("CIDEr-D", statistics.mean(scores))
    people = [cider.score(one.photo.captions[0], one.photo.captions[1:]) for one in described]
    report.add("CIDEr-D of one caption", statistics.mean(people), "against the others of its photo")


def all_differ(values: Mapping[str, Any]) -> bool:
    return len({values[key].casefold().rstrip(".") for key in TEXTS}) == len(TEXTS)


def unfinished(values: Mapping[str, Any]) -> int:
    """Count texts that are empty, sentences that do not end, and titles that end where something has to follow.

    A photo without any text counts as none of these: nothing was asked for.
    """
    if not any(values[key] for key in TEXTS):
        return 0
    sentences = sum(not values[key].strip().endswith((".", "!", "?")) for key in TEXTS if key != "title")
    return sentences + (not words(values["title"]) or words(values["title"])[-1] in DANGLING)


def measure_cost(report: Report, described: Sequence[Described]) -> None:
    seconds = [one.seconds for one in described]
    report.add("seconds a photo, median", statistics.median(seconds))
    report.add("seconds a photo, 90th percentile", float(np.percentile(seconds, 90)))
    report.add("resident GiB, all processes", max(one.memory_bytes for one in described) / 2**30)


def resident_bytes() -> int:
    """Return the resident memory of this process and all below it, 0 where /proc does not tell."""
    parents: dict[int, int] = {}
    resident: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "status").read_text()
        except OSError:  # it has ended since
            continue
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        parents[int(folder.name)] = int(fields["PPid"])
        resident[int(folder.name)] = int(fields.get("VmRSS", "0 kB").split()[0]) * 1024
    family = {int(Path("/proc/self").resolve().name)} if parents else set()
    while grown := {process for process, parent in parents.items() if parent in family} - family:
        family |= grown
    return sum(resident.get(process, 0) for process in family)


if __name__ == "__main__":
    main()
