"""The application of a review: the page, its data, thumbnails and photos, and the one request that changes it."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Mount, Route

from olpipe.errors import OlpipeError
from olpipe.pipeline.page.page import FILES_NAME, THUMBNAILS_NAME, data_script, served_page
from olpipe.reviewing.changes import PHOTOS_ADDRESS, Changes
from olpipe.reviewing.edits import Unfit
from olpipe.reviewing.guard import Guard
from olpipe.server.bodies.body import read_json
from olpipe.server.bodies.responses import json_response
from olpipe.server.edge.failing import Faults, refused
from olpipe.server.refusal import Refusal

MOST_BYTES = 1 << 20
"""Most bytes of a change."""

_FOLDER, _NAME = re.compile(r"[0-9a-f]{2}"), re.compile(r"[0-9a-f]{30}\.jpg")
_KEPT = {"Cache-Control": "private, max-age=3600"}
_OF_PAGE = {"Content-Security-Policy": "frame-ancestors 'none'"}  # the page has the rest of its policy in itself


@dataclass(frozen=True, slots=True)
class _Review:
    """Answers the requests of one review, all in the thread of the ledger."""

    changes: Changes
    about: Mapping[str, str]
    output: Path
    token: str

    async def page(self, request: Request) -> Response:
        """Return the page."""
        changes = self.changes
        review: dict[str, Any] = {"token": self.token, "id": changes.identity, "most_bytes": MOST_BYTES}
        review |= {"fields": changes.fields, "forms": changes.forms}
        data = [f"photos-{number}.js" for number in range(self.changes.parts)]
        about = {**self.about, "data": data, "thumbnails": THUMBNAILS_NAME, "review": review}
        return HTMLResponse(served_page(about), headers=_OF_PAGE)

    async def data(self, request: Request) -> Response:
        """Return the file with one part of the entries."""
        number = request.path_params["number"]
        if number >= self.changes.parts:
            return Response(status_code=404)
        return Response(data_script(self.changes.part(number)), media_type="text/javascript; charset=utf-8")

    async def thumbnail(self, request: Request) -> Response:
        """Return a thumbnail."""
        folder, name = request.path_params["folder"], request.path_params["name"]
        path = self.output / FILES_NAME / THUMBNAILS_NAME / folder / name
        if not (_FOLDER.fullmatch(folder) and _NAME.fullmatch(name) and path.is_file()):
            return Response(status_code=404)
        return FileResponse(path, media_type="image/jpeg", headers=_KEPT)

    async def photo(self, request: Request) -> Response:
        """Return a photo as it was described. One that was changed since is not the one that the record is about."""
        path = self.changes.photo(request.path_params["name"])
        if path is None:
            return Response(status_code=404)
        kind = mimetypes.guess_type(path.name)[0] or ""
        media_type = kind if kind.startswith("image/") else "application/octet-stream"
        return FileResponse(path, media_type=media_type, headers=_KEPT)

    async def change(self, request: Request) -> Response:
        """Make a change, and return what became of it."""
        fields = await read_json(request, limit=MOST_BYTES, hint="a change cannot be larger: write less into the field")
        try:
            return json_response({"photos": self.changes.make(fields.values)})
        except Unfit as error:
            now = self.changes.told(str(fields.values.get("photo")))
            return json_response({"error": error.message, "refused": error.refused, "photos": now}, error.status)


def application(changes: Changes, about: Mapping[str, str], output: Path, token: str) -> Starlette:
    """Return the application of a review.

    Args:
        changes: What can be changed.
        about: What the page says about all photos.
        output: The output folder, which has the thumbnails.
        token: What a request has to know.
    """
    review = _Review(changes, about, output, token)
    routes = [
        Route("/", review.page),
        Route(f"/{FILES_NAME}/photos-{{number:int}}.js", review.data),
        Route(f"/{FILES_NAME}/{THUMBNAILS_NAME}/{{folder}}/{{name}}", review.thumbnail),
        Route(f"/{PHOTOS_ADDRESS}{{name}}", review.photo),
        Route("/review", review.change, methods=["POST"]),
    ]
    return Starlette(
        routes=[Mount(f"/{token}", routes=routes)],
        middleware=[Middleware(Guard, token=token), Middleware(Faults)],
        exception_handlers={OlpipeError: _refused},
    )


async def _refused(request: Request, error: Any) -> Response:
    return refused(request, error if isinstance(error, OlpipeError) else Refusal(500, str(error)))
