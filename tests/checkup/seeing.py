"""A backend that sees with numpy and scipy, or does not see at all: what it does is in its model's `seeing.json`.

Tests copy this module into a folder of plugins, because models are run in processes of their own.
"""

import json
from dataclasses import asdict, dataclass, replace

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from olpipe.generation import Chunk, FinishReason, Timings, Usage
from olpipe.hookspecs import hookimpl
from olpipe.image import BoxDialect, ShownImage
from olpipe.interfaces import Backend, Prepared, SingleSequenceRunner
from olpipe.model import RunnerInfo

FITTED = (448, 252)
COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 160, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 220, 0),
    "black": (0, 0, 0),
    "purple": (128, 0, 160),
}
FULL = {"square": 1.0, "circle": 0.785, "triangle": 0.5, "star": 0.31}
"""How much of its box a shape fills."""


@dataclass(frozen=True)
class Manner:
    """What `seeing.json` may say: what it sees, how its family says boxes, and how it really says them."""

    blind: tuple = ()
    family: tuple = ("xyxy", "thousandths")
    really: tuple = ("xyxy", "thousandths")
    boxes: bool = True
    fails: bool = False
    eyeless: bool = False


@dataclass(frozen=True, slots=True)
class Spoken(Prepared):
    text: str


@dataclass(frozen=True)
class Thing:
    """A shape that was found: edges in pixels of the picture that was given, area in pixels."""

    kind: str
    colour: str
    edges: tuple
    area: int


def things(pixels):
    """Return the connected regions that differ from the background, the largest first."""
    background = pixels[0, 0].astype(int)
    labels, _ = ndimage.label(np.abs(pixels.astype(int) - background).sum(axis=2) > 60)
    found = []
    for number, (down, across) in enumerate(ndimage.find_objects(labels), 1):
        inside = labels[down, across] == number
        colour = np.median(pixels[down, across][inside], axis=0)
        nearest = min(COLOURS, key=lambda name: np.abs(colour - COLOURS[name]).sum())
        kind = min(FULL, key=lambda name: abs(FULL[name] - inside.mean()))
        found.append(Thing(kind, nearest, (across.start, down.start, across.stop, down.stop), int(inside.sum())))
    return sorted(found, key=lambda thing: -thing.area)


def read(pixels, words):
    """Return the word of which the printed letters look most alike."""
    seen = _letters(pixels)

    def unlike(word):
        page = Image.new("L", (900, 200), 255)
        ImageDraw.Draw(page).text((20, 40), word, fill=0, font=ImageFont.load_default(100))
        return np.abs(_letters(np.asarray(page.convert("RGB"))) - seen).mean()

    return min(words, key=unlike)


def _letters(pixels):
    """Return the darkness of the printed area, in a size that does not depend on the picture's."""
    dark = np.abs(pixels.astype(int) - pixels[0, 0].astype(int)).sum(axis=2) > 200
    rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
    cut = dark[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.asarray(Image.fromarray(cut.astype(np.uint8) * 255).resize((80, 16), Image.Resampling.BOX), float)


def choose(options, pixels):
    """Return the answer to a question, which is known by the answers that it allows."""
    found = things(pixels)
    left, top, right, bottom = found[0].edges
    height, width = pixels.shape[:2]
    if "left" in options:
        return "left" if left + right < width else "right"
    if "top" in options:
        return "top" if top + bottom < height else "bottom"
    if 5 in options:
        return len(found)
    if "star" in options:
        return found[0].kind
    return found[0].colour if "red" in options else read(pixels, options)


def kind_of(options):
    """Return what a question is about, in the words of `Manner.blind`."""
    first = options[0]
    return {"left": "place", "top": "place", 1: "count", "circle": "shape", "APPLE": "word"}.get(first, "colour")


def numbers(edges, image, really):
    """Return a box as four numbers. Its edges are in pixels of what the backend was given."""
    order, unit = really
    height, width = image.pixels.shape[:2]
    sides = {
        "thousandths": (1000, 1000),
        "fractions": (1, 1),
        "pixels": FITTED,
        "original_pixels": (image.width, image.height),
    }[unit]
    x1, x2 = (edge / width * sides[0] for edge in edges[0::2])
    y1, y2 = (edge / height * sides[1] for edge in edges[1::2])
    said = {"xyxy": (x1, y1, x2, y2), "yxyx": (y1, x1, y2, x2), "xywh": (x1, y1, x2 - x1, y2 - y1)}[order]
    return [round(number, 4) if unit == "fractions" else round(number) for number in said]


class SeeingRunner(SingleSequenceRunner):
    """Answers with what it sees in the last picture."""

    def __init__(self, manner):
        super().__init__()
        dialect = BoxDialect("bbox_2d", *manner.family) if manner.boxes else None
        self.info = RunnerInfo(4096, fit_pixels=0 if manner.eyeless else 1 << 20, boxes=dialect)
        self._manner = manner

    def prepare(self, request):
        image = request.messages[-1].images[-1]
        if self._manner.fails:
            from olpipe.errors import ContextExceeded

            raise ContextExceeded("the picture is too large for this model")
        properties = json.loads(request.guidance.source)["properties"]
        return Spoken(1, json.dumps(self._document(properties, image)))

    def _document(self, properties, image):
        if "answer" in properties:
            options = properties["answer"]["enum"]
            blind = {"all", kind_of(options)} & set(self._manner.blind)
            return {"answer": options[0] if blind else choose(options, image.pixels)}
        if "objects" in properties:  # a recipe for photos
            return {"objects": [self._box(thing.colour, thing, image) for thing in things(image.pixels)], "title": "a"}
        if "bbox_2d" in properties:
            name = properties["label"]["enum"][0]
            found = things(image.pixels)
            named = [thing for thing in found if f"{thing.colour} {thing.kind}" == name] or found
            return self._box(name, named[0], image)
        return dict.fromkeys(properties, "a")

    def _box(self, name, thing, image):
        edges = (0, 0, 9, 9) if {"all", "box"} & set(self._manner.blind) else thing.edges
        return {"bbox_2d": numbers(edges, image, self._manner.really), "label": name}

    def generate(self, prepared):
        shown = (ShownImage(*FITTED, 1),)
        yield Chunk(prepared.text)
        yield Chunk(finish_reason=FinishReason.STOP, usage=Usage(1), timings=Timings(), shown=shown)


class SeeingBackend(Backend):
    name = "seeing"
    version = "1"

    def refuses(self, bundle):
        return None if (bundle.path / "seeing.json").is_file() else "it has no seeing.json"

    def load(self, bundle, options):
        return SeeingRunner(Manner(**json.loads((bundle.path / "seeing.json").read_text())))


def put_model(library, name="eyes", **manner):
    """Put a model into a store that sees as `manner` says."""
    from olpipe.model import ModelConfig, ModelName

    layer = replace(library.add_bytes(json.dumps(asdict(Manner(**manner))).encode()), name="seeing.json")
    library.commit(ModelName.parse(name), ModelConfig(capabilities=("completion", "vision")), [layer])


@hookimpl
def register_backends():
    return [SeeingBackend()]
