"""Keep the bodies of requests for answers in files, each with a command that repeats the request.

That is for finding faults. The files hold what people asked, so only this user can read them.
"""

from __future__ import annotations

import logging
import os
import shlex
import tempfile
from itertools import count
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from olpipe.server.bridge import in_thread

logger = logging.getLogger(__name__)

_ANSWERS = ("/api/generate", "/api/chat", "/api/embed", "/api/embeddings", "/v1/")


class RequestLog:
    """Writes the body of each request for an answer into a new folder for temporary files."""

    def __init__(self, app: ASGIApp, *, server: str) -> None:
        """Stand before an application.

        Args:
            app: The application.
            server: The address of the server, for the commands.
        """
        self._app = app
        self._server = server
        self._folder = Path(tempfile.mkdtemp(prefix="olpipe-requests-"))
        self._numbers = count(1)
        logger.warning("the bodies of requests are written to %s", self._folder)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].startswith(_ANSWERS):
            await self._app(scope, receive, send)
            return
        number, body = next(self._numbers), bytearray()

        async def receive_keeping() -> Message:
            nonlocal body
            message = await receive()
            if message["type"] == "http.request":
                body += message.get("body", b"")
                if not message.get("more_body", False):
                    await in_thread(self._write, number, scope["path"], bytes(body))
                    body = bytearray()
            return message

        await self._app(scope, receive_keeping, send)

    def _write(self, number: int, path: str, body: bytes) -> None:
        name = f"{number:06}_{'_'.join(path.strip('/').split('/'))}"
        kept, command = self._folder / f"{name}.json", self._folder / f"{name}.sh"
        url = shlex.quote(f"{self._server}{path}")
        text = f"#!/bin/sh\ncurl --data-binary @{shlex.quote(str(kept))} -H 'Content-Type: application/json' {url}\n"
        for file, data in ((kept, body), (command, text.encode())):
            with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
                opened.write(data)
