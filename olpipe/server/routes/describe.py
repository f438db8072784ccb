"""Routes that make a record of a photo, and that list the recipes by which they do so."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from olpipe.describing.recipe_file import named_recipe, named_recipes
from olpipe.errors import OlpipeError
from olpipe.server.bodies.body import parse, read_bytes
from olpipe.server.bodies.fields import Fields
from olpipe.server.bodies.forms import FormPart, parts_of
from olpipe.server.bodies.responses import CLOSED, json_response
from olpipe.server.bridge import in_thread, unless_gone
from olpipe.server.describing import NotDescribed, describe
from olpipe.server.edge.clients import client_of
from olpipe.server.question import EncodedImage, PhotoQuestion
from olpipe.server.refusal import Refusal
from olpipe.server.service import Service
from olpipe.server.wire import failures
from olpipe.server.wire.describe import USUAL_RECIPE, from_texts, read_photo_question

logger = logging.getLogger(__name__)

PHOTO = "image"
"""The field of a form that holds the photo's file."""


def routes(service: Service) -> list[Route]:
    """Return the routes."""

    async def described(request: Request) -> Response:
        data = await read_bytes(request, limit=service.settings.max_body)
        kind, query = request.headers.get("content-type", ""), dict(request.query_params)
        question = await in_thread(_question, kind, query, data)
        client = client_of(request)
        try:
            record = await unless_gone(request, describe(service, question, client=client))
        except NotDescribed as error:
            service.metrics.failed(error)
            return json_response(failures.native(error) | {"failure": error.failure.to_json()}, error.status)
        return CLOSED if record is None else json_response(record.to_json())

    async def recipes(request: Request) -> Response:
        return json_response({"recipes": await in_thread(_recipes, service)})

    return [
        Route("/api/describe", described, methods=["POST"]),
        Route("/api/recipes", recipes, methods=["GET"]),
    ]


def _question(content_type: str, query: Mapping[str, str], data: bytes) -> PhotoQuestion:
    """Read a question from a form, from JSON, or from the bytes of a photo with a query.

    A client such as curl may name any content type. So a body that begins like an object is JSON, and any other body
    is a photo, unless the content type says more.
    """
    fields = from_texts(query)
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return _of_form(fields, parts_of(content_type, data))
    is_object = data[:64].lstrip(b" \t\r\n\xef\xbb\xbf").startswith(b"{")
    if kind == "application/json" or (is_object and not kind.startswith("image/")):
        return read_photo_question(Fields(fields | dict(parse(data).values)))
    if not data:
        raise Refusal(400, "missing request body")
    return read_photo_question(Fields(fields), EncodedImage(data))


def _of_form(fields: dict[str, Any], parts: Sequence[FormPart]) -> PhotoQuestion:
    """Read a question from the fields of a form. Those of the URL's query count where the form has none.

    Raises:
        Refusal: There is a file that is not the photo, or a text that is not UTF-8.
    """
    photo, file, texts = None, "", {}
    for part in parts:
        if part.file is None:
            try:
                texts[part.name] = part.data.decode()
            except UnicodeDecodeError as error:
                raise Refusal(400, f"`{part.name}` is not text in UTF-8") from error
        elif part.name == PHOTO and photo is None:
            photo, file = EncodedImage(bytes(part.data)), part.file
        else:
            raise Refusal(400, f"`{part.name}` is a file, and a form has one file, its `{PHOTO}`")
    return read_photo_question(Fields(fields | from_texts(texts)), photo, file=file)


def _recipes(service: Service) -> list[dict[str, Any]]:
    """Return what there is to know of each recipe, the usual one first. Those that cannot be used are left out."""
    found = []
    for name in sorted(named_recipes(service.settings.recipes), key=lambda name: name != USUAL_RECIPE):
        try:
            recipe = named_recipe(name, service.settings.recipes)
        except OlpipeError as error:
            logger.warning("%s", error.message)
            continue
        about = {"name": name, "task": recipe.task, "model": recipe.model, "language": recipe.language}
        stages = {"stages": [stage.name for stage in recipe.stages]} if recipe.stages else {}
        found.append({**about, "prompt": recipe.prompt, "schema": recipe.schema, **stages})
    return found
