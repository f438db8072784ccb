"""Ollama's routes that bring models here and send them elsewhere: pull and push."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from olpipe.errors import InvalidName, ModelNotFound, NotAtSource, OlpipeError
from olpipe.interfaces import Progress, ProgressCallback
from olpipe.model import ModelName
from olpipe.network.proof import is_proved
from olpipe.server.bodies.body import read_json
from olpipe.server.bodies.responses import CLOSED, json_response, ndjson
from olpipe.server.bridge import in_thread, unless_gone
from olpipe.server.jobs import Jobs
from olpipe.server.model_names import named
from olpipe.server.refusal import Refusal
from olpipe.server.service import Service
from olpipe.server.wire import failures, ollama
from olpipe.server.wire.progress import progress_body
from olpipe.server.wire.pull_steps import BEGUN, BUILDING, SUCCESS, WRITING, in_ollamas_words
from olpipe.store.file_reference import SCHEME
from olpipe.store.pull import pull
from olpipe.store.push import find_target, push
from olpipe.store.resolve import find_source, without_https
from olpipe.store.sources import Origin, default_name

NO_MANIFEST = "pull model manifest: file does not exist"
"""What Ollama says of a model that no registry has."""

_NO_PATHS = "send the files to /api/blobs, then make a model of them; or run `olpipe pull` on the server"


def routes(service: Service) -> list[Route]:
    """Return the routes."""
    jobs = Jobs()

    async def pull_model(request: Request) -> Response:
        fields = await read_json(request, limit=service.settings.max_body)
        text = ollama.model_of(fields)
        insecure = fields.flag("insecure", default=False)
        target = _target(fields.text("destination"))
        reads_files = await in_thread(_may_read_files, service, text, fields.text("proof"))
        what = _wanted(service, text, insecure=insecure, reads_files=reads_files)
        if target is not None:
            what += f" as {target}".casefold()

        def work(progress: ProgressCallback) -> None:
            pull_named(service, text, progress, insecure=insecure, target=target, reads_files=reads_files)

        steps = jobs.follow(what, work)
        if fields.flag("stream", default=True):
            return ndjson(lines(steps))
        return await ending(request, steps)

    async def push_model(request: Request) -> Response:
        fields = await read_json(request, limit=service.settings.max_body)
        text = ollama.model_of(fields)
        name = named(text, Refusal(400, "invalid model name"))
        await in_thread(_known, service, name, text)
        insecure = fields.flag("insecure", default=False)
        what = f"push {name}{' insecurely' if insecure else ''}".casefold()
        steps = jobs.follow(what, lambda progress: _push(service, name, progress, insecure=insecure))
        if fields.flag("stream", default=True):
            return ndjson(lines(steps))
        return await ending(request, steps)

    return [Route("/api/pull", pull_model, methods=["POST"]), Route("/api/push", push_model, methods=["POST"])]


def pull_named(
    service: Service,
    text: str,
    progress: ProgressCallback,
    *,
    insecure: bool = False,
    target: ModelName | None = None,
    reads_files: bool = False,
) -> None:
    """Pull a model, and tell of it in Ollama's words.

    Args:
        service: What all routes share.
        text: The model, as `olpipe pull` takes it.
        progress: Told about every step.
        insecure: Whether a registry may be asked over a connection that others can read.
        target: What to call it here; None leaves that to the source.
        reads_files: Whether the text may be a path on this machine.

    Raises:
        OlpipeError: It could not be pulled.
    """
    progress(BEGUN)
    origin, name = source_of(service, text, insecure=insecure, reads_files=reads_files)
    tell = in_ollamas_words(progress)
    try:
        pull(
            origin, target or name, service.library, service.plugins, progress=tell, building=lambda: progress(BUILDING)
        )
    except NotAtSource as error:
        raise NotAtSource(NO_MANIFEST, hint=error.message) from error
    progress(WRITING)


def _push(service: Service, name: ModelName, progress: ProgressCallback, *, insecure: bool) -> None:
    target = find_target(name, service.plugins, insecure=insecure)
    push(target, name, service.library, service.plugins, progress=progress)


def source_of(
    service: Service, text: str, *, insecure: bool = False, reads_files: bool = False
) -> tuple[Origin, ModelName]:
    """Return where a model comes from, and what it is called here.

    Raises:
        Refusal: No source has it, or the text is not a name. A path on the server is a name only for the user who runs
            it: other clients do not learn which files it has.
    """
    try:
        origin, name = find_source(text, service.plugins, insecure=insecure)
        if origin.source.scheme == SCHEME and not reads_files:
            raise Refusal(400, "invalid model name", hint=_NO_PATHS)
        return origin, name or default_name(origin, service.plugins)
    except ModelNotFound as error:
        raise Refusal(500, NO_MANIFEST, hint=f"{error.message}: {error.hint}") from error
    except InvalidName as error:
        raise Refusal(400, "invalid model name", hint=error.hint) from error


async def lines(steps: AsyncIterator[Progress]) -> AsyncIterator[bytes]:
    """Yield the lines of a stream. The last of them says `success`, or has `error`."""
    try:
        async for step in steps:
            yield ollama.line(progress_body(step))
        yield ollama.line(progress_body(SUCCESS))
    except OlpipeError as error:
        yield ollama.line(failures.native(error))


async def ending(request: Request, steps: AsyncIterator[Progress]) -> Response:
    """Wait for the end of some work, and return the last line alone.

    Raises:
        OlpipeError: What went wrong with the work.
    """

    async def wait() -> bool:
        async for _ in steps:
            pass
        return True

    if await unless_gone(request, wait()) is None:
        return CLOSED
    return json_response(progress_body(SUCCESS))


def _may_read_files(service: Service, text: str, proof: str) -> bool:
    """Say whether a request comes from the user who runs this server, and who may read the files anyway."""
    return bool(proof) and is_proved(service.settings.home, text, proof)


def _target(text: str) -> ModelName | None:
    return named(text, Refusal(400, f'destination "{text}" is invalid')) if text else None


def _wanted(service: Service, text: str, *, insecure: bool, reads_files: bool) -> str:
    """Return what a pull is about. It is the same for all spellings of a name.

    Raises:
        Refusal: The text is neither a name nor a reference to a source.
        UsageError: It asks for plain HTTP, and that is not allowed.
    """
    text = without_https(text, insecure=insecure)
    scheme, colon, _ = text.partition(":")
    if colon and scheme == SCHEME and not reads_files:
        raise Refusal(400, "invalid model name", hint=_NO_PATHS)
    if colon and scheme in service.plugins.model_sources:
        return f"pull {text}{' insecurely' if insecure else ''}"
    plain, at, digest = text.partition("@")
    name = named(plain, Refusal(400, "invalid model name"))
    return f"pull {name}{at}{digest}{' insecurely' if insecure else ''}".casefold()


def _known(service: Service, name: ModelName, text: str) -> None:
    try:
        service.library.digest(name)
    except ModelNotFound as error:
        raise Refusal(404, f"model '{text}' not found") from error
