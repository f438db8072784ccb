"""Examine whether a model sees: ask it about pictures that are known, as `olpipe run` asks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any

from olpipe.asking.asker import Asker
from olpipe.asking.wishes import Wishes, holding_to
from olpipe.checkup.conventions import SaidBox, fits
from olpipe.checkup.pictures import Picture
from olpipe.checkup.questions import KINDS, BoxQuestion, Question, box_questions, questions
from olpipe.checkup.verdict import Score, seen, verdict
from olpipe.engine.manager import Engine
from olpipe.errors import GenerationError, UsageError
from olpipe.generation import Completion
from olpipe.image import BoxDialect, DecodedImage
from olpipe.messages import Message
from olpipe.model import FULL_CACHE, LoadOptions, ModelBundle, RunnerInfo
from olpipe.plugins import Plugins
from olpipe.store.build import backend_for
from olpipe.store.findings import Finding, Fit, makers

MOST_TOKENS = 128
"""Of one answer. The longest has four numbers and a name."""

OPTIONS = LoadOptions(slots=1, cache_type=FULL_CACHE)

Follow = Callable[[int, int], None]
"""Told how many questions are answered, and how many there are."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What came out.

    Attributes:
        model: The model.
        makers: What `olpipe.store.findings.makers` returned for the backend that ran it.
        scores: How each kind of question was answered.
        boxes: How well its boxes fit in every way to read them, the best first; empty where it was asked for none.
        own: How its family says boxes; None for a family that says none.
        unasked: Why questions could not be asked, one reason for each.
    """

    model: ModelBundle
    makers: tuple[str, ...]
    scores: tuple[Score, ...]
    boxes: tuple[Fit, ...]
    own: BoxDialect | None
    unasked: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """What the model sees, in one sentence."""
        return verdict(str(self.model.name), self.scores)

    @property
    def finding(self) -> Finding:
        """What is kept."""
        usual = next((fit for fit in self.boxes if self.own and (fit.order, fit.unit) == _way(self.own)), None)
        return Finding(self.makers, self.verdict, usual, self.boxes[0] if usual else None)

    def to_json(self) -> dict[str, Any]:
        """Return everything for programs."""
        better = seen(self.scores)
        return {
            "model": str(self.model.name),
            "digest": self.model.digest,
            "makers": list(self.makers),
            "answers": {
                score.kind: {
                    "right": score.right,
                    "asked": score.asked,
                    "guessing": round(score.guessing, 3),
                    "better_than_guessing": score.kind in better,
                }
                for score in self.scores
            },
            "boxes": self._boxes_to_json(),
            "unasked": list(self.unasked),
            "verdict": self.verdict,
        }

    def _boxes_to_json(self) -> dict[str, Any] | None:
        finding = self.finding
        if finding.usual is None or finding.best is None:
            return None
        used = finding.boxes
        return {
            "usual": asdict(finding.usual),
            "best": asdict(finding.best),
            "used": None if used is None else {"order": used.order, "unit": used.unit},
            "all": [asdict(fit) for fit in self.boxes],
        }


def check_sees(bundle: ModelBundle) -> None:
    """Refuse a model that does not see.

    Raises:
        UsageError: By its manifest, it does not.
    """
    if "vision" not in bundle.config.capabilities:
        hint = f"`olpipe show {bundle.name}` lists what it can do"
        raise UsageError(f"model `{bundle.name}` does not see images, so there is nothing to examine", hint=hint)


def examine(bundle: ModelBundle, engine: Engine, plugins: Plugins, follow: Follow) -> Examination:
    """Ask a model all questions, one after the other. It is loaded before the first one is asked.

    A question that the model cannot take is left out. Everything else that goes wrong ends the examination.

    Raises:
        UsageError: The model does not see.
        ModelError: It cannot be loaded.
        MachineError: The machine failed.
    """
    check_sees(bundle)
    backend = backend_for(bundle, plugins.backends)
    info = engine.load(str(bundle.name), options=OPTIONS).result()
    if not info.fit_pixels:
        raise UsageError(f"the backend `{backend.name}` runs `{bundle.name}` without its vision encoder")
    with plugins.backends.blaming(backend.name):
        family = backend.family_of(bundle)
    return _Examiner(bundle, engine, plugins, info).examine(makers(backend, family), follow)


class _Examiner:
    """Asks one loaded model."""

    def __init__(self, bundle: ModelBundle, engine: Engine, plugins: Plugins, info: RunnerInfo) -> None:
        self._bundle = bundle
        self._engine = engine
        self._plugins = plugins
        self._info = info
        self._unasked: list[str] = []

    def examine(self, made: tuple[str, ...], follow: Follow) -> Examination:
        """Ask everything."""
        asked, own = questions(), self._info.boxes
        about_boxes = [] if own is None else box_questions()
        steps = count(1)

        def done() -> None:
            follow(next(steps), len(asked) + len(about_boxes))

        answers = [(question, right) for question in asked for right in self._answers(question, done)]
        said = [box for question in about_boxes if own for box in self._boxes(question, own, done)]
        boxes = tuple(fits(said, own)) if said and own else ()
        return Examination(self._bundle, made, _scores(answers), boxes, own, tuple(self._unasked))

    def _answers(self, question: Question, done: Callable[[], None]) -> Iterator[bool]:
        """Yield whether the answer to a question is right; nothing where it cannot be asked."""
        for completion, _ in self._ask(question.picture, question.prompt, question.schema):
            yield _value(completion, "answer") == question.answer
        done()

    def _boxes(self, question: BoxQuestion, own: BoxDialect, done: Callable[[], None]) -> Iterator[SaidBox]:
        """Yield what the model says of a box; nothing where it cannot be asked."""
        for completion, image in self._ask(question.picture, question.prompt(own), question.schema(own)):
            yield _said(question, own, completion, image)
        done()

    def _ask(self, picture: Picture, prompt: str, schema: str) -> Iterator[tuple[Completion, DecodedImage]]:
        """Ask one question and yield the answer with the picture; yield nothing where it cannot be asked."""
        # Perceivers would tell the answer, so none of them looks at the picture.
        # The most probable token is picked, whatever the model's own parameters are
        wishes = Wishes(holding_to(schema), {"temperature": 0.0, "max_tokens": MOST_TOKENS}, perceivers=())
        asker = Asker(self._bundle, wishes, self._plugins, model_pixels=self._info.fit_pixels)
        image = asker.image(picture.png())
        request = asker.request(str(self._bundle.name), [Message.of("user", prompt, image)])
        try:
            completion = self._engine.submit(request, options=OPTIONS).completion()
        except GenerationError as error:
            self._unasked.append(error.message)
            return
        yield completion, image


def _scores(answers: Sequence[tuple[Question, bool]]) -> tuple[Score, ...]:
    """Count the right answers of each kind that was asked."""
    scores = []
    for kind in KINDS:
        those = [(question, right) for question, right in answers if question.kind == kind]
        if those:
            guessing = 1 / len(those[0][0].options)
            scores.append(Score(kind, sum(right for _, right in those), len(those), guessing))
    return tuple(scores)


def _said(question: BoxQuestion, own: BoxDialect, completion: Completion, image: DecodedImage) -> SaidBox:
    numbers = _value(completion, own.key)
    whole = isinstance(numbers, list) and [type(one) in (int, float) for one in numbers] == [True] * 4
    shown = completion.shown[-1] if completion.shown else None
    return SaidBox(tuple(numbers) if whole else (), image, shown, question.shape.box)


def _value(completion: Completion, key: str) -> Any:
    """Return a value of an answer, or None where it cannot be read."""
    try:
        document = json.loads(completion.text)
    except ValueError:
        return None
    return document.get(key) if isinstance(document, dict) else None


def _way(dialect: BoxDialect) -> tuple[str, str]:
    return dialect.order, dialect.unit
