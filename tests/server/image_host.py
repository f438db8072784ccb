"""A host of images on this machine, for tests of what a server fetches."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

Answer = tuple[int, dict[str, str], bytes]


class ImageHost:
    """A host that answers as it is told, and remembers what it was asked.

    Attributes:
        port: Its port at 127.0.0.1.
        answers: The status, the headers and the body for each path. A path that is missing is answered with 404.
        asked: The header `Host` and the path of each request.
    """

    def __init__(self, *, tls: Any = None) -> None:
        """Start it.

        Args:
            tls: An `SSLContext` with a certificate; None answers without TLS.
        """
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, str]] = []
        self.pause = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def url(self, path: str, host: str = "127.0.0.1", scheme: str = "http") -> str:
        """Return the URL of a path."""
        return f"{scheme}://{host}:{self.port}{path}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.asked.append((self.headers["Host"], self.path))
                status, headers, body = host.answers.get(self.path, (404, {}, b"there is nothing here"))
                self.send_response(status)
                for name, value in ({"Content-Type": "image/jpeg"} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                if self.path == "/never-ends":
                    host.pause.wait()

            def log_message(self, *arguments: Any) -> None:
                pass

        return Handler

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.pause.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
