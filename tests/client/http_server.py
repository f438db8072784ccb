"""Small servers for the tests of the client. Each gives one answer to all requests, and keeps what it was asked."""

from __future__ import annotations

import http.server
import json
import socketserver
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

CERTIFICATE = Path(__file__).parents[1] / "server" / "certificate.pem"

OLLAMA = {"version": "0.33.0"}
OLPIPE = {"version": "9.9.9", "product": "olpipe"}


class HttpServer:
    """A server. Use it as a context manager.

    Attributes:
        port: Its port; 0 where it listens at a socket in the file system.
        requests: The method, the path and the headers of each request.
        bodies: The bytes that came with each request.
    """

    def __init__(
        self,
        answer: Any = OLLAMA,
        *,
        status: int = 200,
        unix: Path | None = None,
        tls: bool = False,
        handle: Callable[[Any], None] | None = None,
    ) -> None:
        """Listen.

        Args:
            answer: The body of every answer: bytes, or a value that is sent as JSON.
            status: The status of every answer.
            unix: The path of a socket, in place of a port.
            tls: Whether it speaks HTTPS, with a certificate that nobody trusts by himself.
            handle: Answers in place of all that. It gets the handler.
        """
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.bodies: list[bytes] = []
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _handle(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                outer.bodies.append(self.rfile.read(length))
                outer.requests.append((self.command, self.path, dict(self.headers)))
                if handle is not None:
                    handle(self)
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_HEAD = do_POST = do_DELETE = _handle

            def log_message(self, *arguments: Any) -> None:
                pass

        if unix is not None:
            self._server: socketserver.BaseServer = _UnixServer(str(unix), Handler)
            self.port = 0
            return
        server = _Server(("127.0.0.1", 0), Handler)
        if tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(CERTIFICATE)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        self._server, self.port = server, server.server_port

    def __enter__(self) -> HttpServer:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing about clients that go away."""


class _UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def get_request(self) -> Any:
        request, _ = super().get_request()
        return request, ("", 0)  # the handler wants an address
