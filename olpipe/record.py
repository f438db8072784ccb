"""What a batch writes for each photo: a record or a failure, and the evidence behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from olpipe.generation import Timings, Usage
from olpipe.image import Box

LONGEST_NAME = 40
"""Most characters of a name in evidence. Longer ones are left out."""

SCORE_DIGITS = 2
"""Scores in records are rounded to so many decimals."""


@dataclass(frozen=True, slots=True)
class Label:
    """A name for something in a photo.

    Attributes:
        name: An English singular noun of at most `LONGEST_NAME` characters, without commas.
        score: The perceiver's confidence in 0..1.
    """

    name: str
    score: float


def best_labels(labels: Iterable[Label]) -> tuple[Label, ...]:
    """Return each name once, with its best score, the surest first. Names that differ only in case are equal."""
    best: dict[str, Label] = {}
    for label in labels:
        first = best.setdefault(label.name.casefold(), label)
        if label.score > first.score:
            best[label.name.casefold()] = Label(first.name, label.score)
    return tuple(sorted(best.values(), key=lambda label: -label.score))


@dataclass(frozen=True, slots=True)
class Detection:
    """Something in a photo, with its place.

    Attributes:
        label: What it is, as in a `Label`.
        score: The perceiver's confidence in 0..1.
        box: Where it is.
        tags: Finer names for it, the surest first. The label itself is not among them.
    """

    label: str
    score: float
    box: Box
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadText:
    """Words that are written in a photo. They are quoted, never taken for the name of a thing, and never counted.

    Attributes:
        text: The words, as they are written.
        score: The perceiver's confidence in 0..1.
        box: Where they are in the photo; None if the perceiver does not say.
    """

    text: str
    score: float
    box: Box | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the words as they stand in a record, with a rounded score. Where there is no box, its keys lack."""
        box = {} if self.box is None else asdict(self.box)
        return {"text": self.text, **box, "score": round(self.score, SCORE_DIGITS)}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What perceivers found in one photo.

    Attributes:
        objects: Things with a box that the perceiver is sure of, the surest first.
        tags: English names of what the photo shows, the surest first. The thresholds are lower than for boxes.
        texts: Words that are written in the photo, in the order in which people read them.
    """

    objects: tuple[Detection, ...] = ()
    tags: tuple[Label, ...] = ()
    texts: tuple[ReadText, ...] = ()

    def __post_init__(self) -> None:
        for name, expected in (("objects", Detection), ("tags", Label), ("texts", ReadText)):
            values = getattr(self, name)
            wrong = [values] if not isinstance(values, tuple) else [v for v in values if not isinstance(v, expected)]
            if wrong:
                raise TypeError(f"`{name}` of evidence is a tuple of `{expected.__name__}`, not of {wrong[0]!r}")

    def __add__(self, other: Evidence) -> Evidence:
        """Return the evidence of several photos. That of one photo is made by `olpipe.perception.merge`."""
        tags = best_labels(self.tags + other.tags) if self.tags and other.tags else self.tags + other.tags
        return Evidence(self.objects + other.objects, tags, self.texts + other.texts)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Evidence:
        """Rebuild evidence from what `dataclasses.asdict` made of it."""
        objects = (
            Detection(thing["label"], thing["score"], Box(**thing["box"]), tuple(thing["tags"]))
            for thing in value["objects"]
        )
        texts = (
            ReadText(text["text"], text["score"], None if text["box"] is None else Box(**text["box"]))
            for text in value["texts"]
        )
        return cls(tuple(objects), tuple(Label(**label) for label in value["tags"]), tuple(texts))

    def renamed(self, names: Mapping[str, str]) -> Evidence:
        """Return the evidence with its names replaced. A name that is not in `names` stays as it is.

        Where two tags become equal, the first one stays.
        """
        if not names:
            return self
        objects = []
        for thing in self.objects:
            label = names.get(thing.label, thing.label)
            tags = dict.fromkeys(names.get(tag, tag) for tag in thing.tags)
            tags.pop(label, None)  # a finer name that equals the label adds nothing
            objects.append(replace(thing, label=label, tags=tuple(tags)))
        labels: dict[str, Label] = {}
        for tag in self.tags:
            name = names.get(tag.name, tag.name)
            labels.setdefault(name, Label(name, tag.score))
        return Evidence(tuple(objects), tuple(labels.values()), self.texts)

    def at_least(self, score: float) -> Evidence:
        """Return the evidence without the tags and objects that have a lower score. Texts stay: they name nothing.

        A finer name of an object has no score of its own. It goes where it is also a tag that goes.
        """
        tags = tuple(label for label in self.tags if label.score >= score)
        gone = {label.name for label in self.tags} - {label.name for label in tags}
        objects = (
            replace(thing, tags=tuple(name for name in thing.tags if name not in gone))
            for thing in self.objects
            if thing.score >= score
        )
        return Evidence(tuple(objects), tags, self.texts)


class Certainty(StrEnum):
    """How sure perceivers are of what a photo shows."""

    SURE = "sure"
    """Something in it was recognised with a score that can be trusted."""

    UNSURE = "unsure"
    """Every score is low, or only words were read."""

    UNRECOGNISED = "unrecognised"
    """Nothing was recognised, and no words were read."""


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """An image as records describe it.

    Attributes:
        width: Pixels, upright, at full size.
        height: Pixels, upright, at full size.
        orientation: EXIF orientation as found in the file, 1 to 8.
        format: The file's format: `JPEG`, `PNG`, …
        frames: How many frames, pages or pictures the file holds.
    """

    width: int
    height: int
    orientation: int
    format: str
    frames: int = 1

    def to_json(self) -> dict[str, Any]:
        """Return it as records have it. `frames` is there only where there are several."""
        values = asdict(self)
        if self.frames == 1:
            del values["frames"]
        return values


class Review(StrEnum):
    """What a person did with a record."""

    APPROVED = "approved"
    """It is right as the model wrote it."""

    EDITED = "edited"
    """Something in it was corrected."""

    REJECTED = "rejected"
    """Nobody is to use it."""


COPIED_FROM = "copied_from"
"""Key of the name of the photo whose record a record was copied from."""

RESERVED = frozenset(
    {
        *("file", "sha256", "image", "text", "certainty", "review", "box_unit"),
        *("model", "model_digest", "recipe", "usage", "truncated", COPIED_FROM),
    }
)
"""Keys that records have of their own: no task may give a value under one of them."""

TAG_SCORES = "tag_scores"
"""Key of the scores of `tags`. It stands in the records of tasks that are `scored`, and is reserved for these only."""

TEXT = "text"
"""Key of the words that were read in the photo."""


def words_read(record: Mapping[str, Any]) -> list[str]:
    """Return the words that were read in a photo, from the JSON of its record; none where nothing was read."""
    read = record.get(TEXT)
    found = [one.get("text") for one in read if isinstance(one, Mapping)] if isinstance(read, list) else []
    return [text for text in found if isinstance(text, str)]


_TOKENS = ("prompt_tokens", "sampled_tokens", "forced_tokens", "spliced_tokens")


def token_counts(usage: Usage) -> dict[str, int]:
    """Return the counts of tokens as records and reports have them. Prompts about photos are never cut."""
    return {name: getattr(usage, name) for name in _TOKENS}


@dataclass(frozen=True, slots=True)
class Record:
    """One photo, described.

    Attributes:
        file: The photo's name as given by its `ImageRef`.
        sha256: Hex digest of the file's bytes.
        image: Its upright size, orientation and format.
        values: What the task made of the model's answer; these keys stand at the record's top level.
        model: The model's full name, with tag.
        model_digest: `sha256:…` of the model's manifest.
        recipe: The recipe's name.
        usage: How many tokens there were of each kind.
        truncated: Whether the answer was cut at `max_tokens`, or at the end of the context.
        certainty: How sure the perceivers are; None where none looked at the photo.
        texts: Words that were read in the photo, in the order in which people read them.
        timings: Where the model's time went; for the report, not part of the JSON.
        image_ns: Time to decode the photo; for the report.
        ground_ns: Time the perceivers took; for the report.
        thumbnail: A small JPEG file of the photo, for the page; empty where none was asked for.
        thumbnail_ns: Time to make it; for the report.
        picture: Digest of what was seen and told of the photo, for the ledger; empty where nobody compares photos.
    """

    file: str
    sha256: str
    image: ImageInfo
    values: Mapping[str, Any]
    model: str
    model_digest: str
    recipe: str
    usage: Usage
    truncated: bool
    certainty: Certainty | None = None
    texts: tuple[ReadText, ...] = ()
    timings: Timings = field(default_factory=Timings)
    image_ns: int = 0
    ground_ns: int = 0
    thumbnail: bytes = b""
    thumbnail_ns: int = 0
    picture: bytes = b""

    def to_json(self) -> dict[str, Any]:
        """Return the record as published in `docs/record.schema.json`, keys in that order."""
        return {
            "file": self.file,
            "sha256": self.sha256,
            "image": self.image.to_json(),
            **self.values,
            **({TEXT: [text.to_json() for text in self.texts]} if self.texts else {}),
            **({} if self.certainty is None else {"certainty": self.certainty.value}),
            "box_unit": "px",
            "model": self.model,
            "model_digest": self.model_digest,
            "recipe": self.recipe,
            "usage": token_counts(self.usage),
            "truncated": self.truncated,
        }


class FailureKind(StrEnum):
    """Why a photo has no record."""

    UNREADABLE = "unreadable"
    """The file is damaged, empty, or cannot be opened."""

    TOO_LARGE = "too_large"
    """It has more pixels than are decoded."""

    UNSUPPORTED = "unsupported"
    """No image loader reads its format, or the loader lacks a library."""

    REFUSED = "refused"
    """The finished document does not fit the schema as given."""

    CONTEXT = "context"
    """The prompt does not fit the model."""

    GENERATION = "generation"
    """The runner reported an error for this request."""

    PLUGIN = "plugin"
    """A plugin's own code failed at this photo: a perceiver or a task."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One photo without a record, and why.

    Attributes:
        file: The photo's name as given by its `ImageRef`.
        sha256: Hex digest of the file's bytes; None where they could not be read.
        kind: What kind of failure it is.
        message: What happened, in one line.
        hint: What to do about it.
        picture: Digest of what was seen and told of the photo, as in a `Record`; not part of the JSON.
    """

    file: str
    sha256: str | None
    kind: FailureKind
    message: str
    hint: str | None = None
    picture: bytes = b""

    def to_json(self) -> dict[str, Any]:
        """Return the row that `failures.jsonl` holds."""
        row: dict[str, Any] = {
            "file": self.file,
            "sha256": self.sha256,
            "kind": self.kind.value,
            "message": self.message,
        }
        return row | {"hint": self.hint} if self.hint else row


@dataclass(frozen=True, slots=True)
class Copy:
    """One photo for which the model was not asked, because another photo looks exactly the same.

    The pipeline gives it what that photo has, or will have.

    Attributes:
        file: The photo's name as given by its `ImageRef`.
        sha256: Hex digest of the file's bytes.
        image: Its upright size, orientation and format.
        picture: Digest of what was seen and told of the photo. That of the other photo is the same.
        image_ns: Time to decode the photo; for the report.
        thumbnail: As in a `Record`.
        thumbnail_ns: As in a `Record`.
    """

    file: str
    sha256: str
    image: ImageInfo
    picture: bytes
    image_ns: int = 0
    thumbnail: bytes = b""
    thumbnail_ns: int = 0


@dataclass(frozen=True, slots=True)
class CopiedRecord:
    """The record of a photo, made from that of another one.

    Attributes:
        file: The photo's name as given by its `ImageRef`.
        sha256: Hex digest of the file's bytes.
        row: The record as JSON.
    """

    file: str
    sha256: str
    row: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the record as published in `docs/record.schema.json`."""
        return dict(self.row)


Outcome = Record | Failure | Copy
"""What a run makes of one photo."""
