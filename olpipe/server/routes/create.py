"""Ollama's route that makes a model from another one, or from files that the client has sent."""

from __future__ import annotations

import uuid

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from olpipe.errors import ModelNotFound
from olpipe.interfaces import ProgressCallback
from olpipe.server.bodies.body import read_json
from olpipe.server.bodies.responses import ndjson
from olpipe.server.bridge import in_thread
from olpipe.server.jobs import Jobs
from olpipe.server.refusal import Refusal
from olpipe.server.routes.pulls import ending, lines, pull_named, source_of
from olpipe.server.service import Service
from olpipe.server.wire.create import read_create
from olpipe.store.create import NewModel, check
from olpipe.store.create import create as create_model


def routes(service: Service) -> list[Route]:
    """Return the routes."""
    jobs = Jobs()

    async def create(request: Request) -> Response:
        fields = await read_json(request, limit=service.settings.max_body)
        new, base = read_create(fields)
        await in_thread(_check, service, new, base)
        # Two requests for the same name may say different things, so neither follows the work of the other
        what = f"create {new.name} {uuid.uuid4()}"
        steps = jobs.follow(what, lambda progress: _create(service, new, base, progress))
        if fields.flag("stream", default=True):
            return ndjson(lines(steps))
        return await ending(request, steps)

    return [Route("/api/create", create, methods=["POST"])]


def _check(service: Service, new: NewModel, base: str) -> None:
    """Refuse what cannot become a model before the answer begins."""
    check(new, service.library)
    if new.base is None:
        return
    try:
        service.library.digest(new.base)
    except ModelNotFound as error:
        try:
            source_of(service, base)
        except Refusal as missing:
            raise Refusal(404, f"model '{base}' not found", hint=error.hint) from missing


def _create(service: Service, new: NewModel, base: str, progress: ProgressCallback) -> None:
    if new.base is not None:
        try:
            service.library.digest(new.base)
        except ModelNotFound:
            pull_named(service, base, progress)
    create_model(new, service.library, service.plugins, progress=progress)
