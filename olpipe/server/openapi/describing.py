"""The routes that make records of photos."""

from __future__ import annotations

from olpipe.server.openapi.operations import JSON, content, operation
from olpipe.server.openapi.schemas import (
    TEXT,
    about,
    answer,
    either,
    list_of,
    number,
    or_null,
    ref,
    request,
    whole,
)
from olpipe.server.wire.describe import LONGEST_FILE, USUAL_FILE, USUAL_RECIPE

TAG = "Photos"

_FIELDS = {
    "file": {"type": "string", "maxLength": LONGEST_FILE, "description": f"What the record calls it; `{USUAL_FILE}`."},
    "recipe": about(TEXT, f"The name of a recipe, see /api/recipes; `{USUAL_RECIPE}`."),
    "model": about(TEXT, "The model, in place of the recipe's."),
    "prompt": about(TEXT, "The prompt, in place of the recipe's."),
    "schema": about(either({"type": "object"}, TEXT), "The schema of the answer, in place of the recipe's."),
    "language": about(TEXT, "The language of the answer, as a BCP 47 tag."),
    "perceivers": about(list_of(TEXT), "What looks at the photo beside the model."),
    "min_score": about(number(0, 1), "Leave out what perceivers found with a lower score."),
    "image_tokens": about(whole(1), "Most tokens of the photo."),
    "options": ref("Options"),
    "keep_alive": ref("KeepAlive"),
}
DESCRIBE = request(
    {},
    image=about(TEXT, "The photo as base64, or as a data URL."),
    url=about(TEXT, "The URL of the photo, where OLPIPE_IMAGE_URLS allows its host."),
    **_FIELDS,
)
RECORD = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": TEXT},
    "description": "A record, as `olpipe batch` writes it: docs/record.schema.json is its schema.",
}
RECIPE = answer(
    {
        "name": TEXT,
        "task": TEXT,
        "model": or_null(TEXT),
        "language": TEXT,
        "prompt": or_null(TEXT),
        "schema": either({"type": "object"}, {"type": "null"}),
    }
)
_FORM = {
    "schema": {"type": "object", "properties": {"image": {"type": "string", "contentMediaType": "image/*"}}},
}
PATHS = {
    "/api/describe": {
        "post": operation(
            "describe", "Make a record of a photo.", {200: content("The record.", json=ref("Record"))}, tag=TAG,
            description=(
                "The photo is the body itself, a file `image` of a form, or a field of a JSON body. In the first two"
                " cases, the other fields may stand in the query. There, lists have commas and objects are JSON. Where"
                " there is no record of this photo, `failure` is the row that `olpipe batch` would write."
            ),
            requestBody={
                "required": True,
                "content": {
                    JSON: {"schema": ref("Describe")}, "multipart/form-data": _FORM, "image/*": {"schema": {}},
                },
            },
        )
    },
    "/api/recipes": {
        "get": operation(
            "recipes", "List the recipes that records can be made by.",
            {200: content("The recipes.", json=answer({"recipes": list_of(ref("Recipe"))}))}, tag=TAG,
        )
    },
}  # fmt: skip
SCHEMAS = {"Describe": DESCRIBE, "Record": RECORD, "Recipe": RECIPE}
