"""Ollama's routes for the files that clients send to make models of."""

from __future__ import annotations

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from olpipe.server.bodies.responses import CLOSED
from olpipe.server.bridge import in_thread
from olpipe.server.refusal import Refusal
from olpipe.server.service import Service
from olpipe.store import digests
from olpipe.store.blobs import Incoming

PIECE_BYTES = 1 << 20
"""How much is written at once. The event loop does not wait for the disk."""

DISCARDED_BYTES = 16 << 20
"""How much of a body that is refused is read all the same: a client that is cut off may not read the answer."""


def routes(service: Service) -> list[Route]:
    """Return the routes."""

    async def head(request: Request) -> Response:
        digest = _digest(request)
        if await in_thread(service.library.has, digest):
            return Response(status_code=200)
        raise Refusal(404, f'blob "{digest}" not found')

    async def post(request: Request) -> Response:
        digest = _digest(request)
        try:
            await _check_declared(request, service.settings.max_blob)
            if await in_thread(service.library.has, digest):
                async for _ in request.stream():  # a client that is cut off while it sends may not read the answer
                    pass
                return Response(status_code=200)
            await _receive(request, service, digest)
        except ClientDisconnect:
            return CLOSED
        return Response(status_code=201)

    return [
        Route("/api/blobs/{digest}", head, methods=["HEAD"]),
        Route("/api/blobs/{digest}", post, methods=["POST"]),
    ]


async def _discard_some(request: Request) -> None:
    """Read the body of a request that is refused, up to a limit."""
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > DISCARDED_BYTES:
            return


async def _receive(request: Request, service: Service, digest: str) -> None:
    """Write the body of a request into the store, piece by piece.

    Raises:
        Refusal: It is too large, or it has another digest.
        DiskFull: There was no space. Nothing of it is kept.
    """
    blob = await in_thread(service.library.receive)
    try:
        limit, size = service.settings.max_blob, 0
        piece = bytearray()
        async for chunk in request.stream():
            size += len(chunk)
            if limit and size > limit:
                if size > limit + DISCARDED_BYTES:
                    break
                continue
            piece += chunk
            if len(piece) >= PIECE_BYTES:
                await in_thread(blob.write, bytes(piece))
                piece.clear()
        if limit and size > limit:
            raise _too_large(limit)
        await in_thread(_finish, blob, bytes(piece), digest)
    finally:
        blob.close()


def _finish(blob: Incoming, last: bytes, digest: str) -> None:
    blob.write(last)
    if blob.digest != digest:
        raise Refusal(400, f'digest mismatch, expected "{digest}", got "{blob.digest}"')
    blob.keep()


def _digest(request: Request) -> str:
    try:
        return digests.normalised(request.path_params["digest"])
    except ValueError as error:
        hint = "a digest is `sha256:` and 64 hex digits"
        raise Refusal(400, "invalid digest format", hint=hint) from error


async def _check_declared(request: Request, limit: int) -> None:
    declared = request.headers.get("content-length", "")
    if limit and declared.isdecimal() and int(declared) > limit:
        await _discard_some(request)
        raise _too_large(limit)


def _too_large(limit: int) -> Refusal:
    return Refusal(413, f"the file has more than {limit} bytes", hint="raise OLPIPE_MAX_BLOB on the server")
