"""Speak of boxes with a model that sees as it was trained to, whatever schema a caller has."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from functools import lru_cache

import orjson

from olpipe.errors import UsageError
from olpipe.generation import Completion, GenerateRequest, Guidance
from olpipe.guidance.boxes import Boxless, spoken
from olpipe.guidance.heard import heard
from olpipe.guidance.schema import read_schema, valid_schema
from olpipe.image import BoxDialect, DecodedImage
from olpipe.model import RunnerInfo

logger = logging.getLogger(__name__)

UNTRAINED = "was not trained to say where things are"


class Interpreter:
    """Stands between the callers of one loaded model and the model. Any thread may call it.

    It changes only requests with a photo and a schema, and only where the model itself sees. Values that are known
    from evidence are in pixels of the photo already, so they are left as they are.
    """

    def __init__(self, info: RunnerInfo, *, boxless: str = UNTRAINED) -> None:
        """Take what the runner says of the model.

        Args:
            info: What it says.
            boxless: Why a model without a dialect is not asked for boxes, in words that follow its name.
        """
        self._sees = info.fit_pixels > 0
        self._dialect = info.boxes
        self._boxless = boxless
        self._told = False

    def asked(self, request: GenerateRequest) -> GenerateRequest:
        """Return a request for what the model can answer. Its finished document is judged by this request's schema.

        Where the model was not trained to say boxes, everything that needs one is left out of the schema. The first
        time, a warning names it.

        Raises:
            SchemaError: The schema is not valid.
            UsageError: Nothing is left of the schema.
        """
        guidance = self._guidance(request)
        if guidance is None or self._dialect is not None:
            return request
        source, lost = _without_boxes(guidance.source, _known(guidance))
        if not lost and source is not None:
            return request
        if source is None:
            message = f"the schema asks for boxes only, and `{request.model}` {self._boxless}"
            raise UsageError(message, hint="name perceivers that find them, with `--perceivers`, or another model")
        if not self._told:
            self._told = True
            them = ", ".join(f"`{path}`" for path in lost)
            logger.warning("`%s` %s, so this is left out: %s", request.model, self._boxless, them)
        return replace(request, guidance=replace(guidance, source=source))

    def spoken(self, request: GenerateRequest) -> GenerateRequest:
        """Return a request as the model gets it, with boxes in its own dialect."""
        guidance = self._guidance(request)
        if guidance is None or self._dialect is None:
            return request
        source = _spoken(guidance.source, self._dialect)
        return request if source is None else replace(request, guidance=replace(guidance, source=source))

    def heard(self, request: GenerateRequest, completion: Completion) -> str:
        """Return the text of an answer as the caller asked for it, with boxes in pixels of the photo shown last.

        Args:
            request: What `spoken` was given.
            completion: The model's answer to what `spoken` returned.

        Raises:
            ValueError: The model says boxes in pixels of the fitted image, and the backend does not say its size.
        """
        guidance = self._guidance(request)
        if guidance is None or self._dialect is None or _spoken(guidance.source, self._dialect) is None:
            return completion.text
        try:
            value = orjson.loads(completion.text)
        except orjson.JSONDecodeError:
            return completion.text  # whoever judges the document says what is wrong with it
        shown = completion.shown[-1] if completion.shown else None
        schema, photo = read_schema(guidance.source), _photos(request)[-1]
        value = heard(value, schema, self._dialect, photo, shown=shown, known=_known(guidance))
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    def _guidance(self, request: GenerateRequest) -> Guidance | None:
        """Return the schema that boxes may be asked for in; None where nothing is to be done for a request."""
        guidance = request.guidance
        if not self._sees or guidance is None or guidance.kind != "json_schema" or not _photos(request):
            return None
        return guidance


def left_out(given: Guidance, held_to: Guidance) -> tuple[str, ...]:
    """Return the paths of what `Interpreter.asked` left out of a schema.

    Args:
        given: The schema that was asked for.
        held_to: The schema of the request that it returned.
    """
    if not given.kind == held_to.kind == "json_schema" or given.source == held_to.source:
        return ()
    source, lost = _without_boxes(given.source, _known(held_to))
    return lost if source == held_to.source else ()


def _photos(request: GenerateRequest) -> list[DecodedImage]:
    return [image for message in request.messages for image in message.images]


def _known(guidance: Guidance) -> tuple[str, ...]:
    return tuple(name for name, _ in guidance.constants)


@lru_cache(maxsize=64)
def _spoken(source: str, dialect: BoxDialect) -> str | None:
    """Return a schema in a dialect; None where it asks for no boxes."""
    schema = valid_schema(source)
    said = spoken(schema, dialect)
    return None if said == schema else json.dumps(said, ensure_ascii=False, separators=(",", ":"))


@lru_cache(maxsize=64)
def _without_boxes(source: str, known: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
    """Return what is left of a schema without boxes, and the paths of what is lost."""
    boxless = Boxless(valid_schema(source), known=known)
    left = None if boxless.schema is None else json.dumps(boxless.schema, ensure_ascii=False, separators=(",", ":"))
    return left, boxless.lost
