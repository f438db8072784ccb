"""A registry on loopback for tests. It speaks the protocol, and has the faults that a test gives it.

Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import ssl
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

OLLAMA = "application/vnd.ollama.image."
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
TITLE = "org.opencontainers.image.title"

_SENT_AT_ONCE = 64 << 10
_SMALL = 4096
"""Smaller blobs, such as configs, are sent without a fault."""


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class RegistryServer:
    """A registry. Use it as a context manager.

    Attributes:
        manifests: Bytes and media type of each manifest, by repository and tag.
        blobs: Bytes by digest.
        asked: Method, path with query, and headers (in lower case) of each request.
        sent: Bytes of bodies that were sent, by digest.
        user: `name:password`; where it is set, access needs a token, and a token needs them.
        needs_token: Whether access needs a token at all.
        wants_basic: Whether access needs the password itself, and no token.
        challenge: What `WWW-Authenticate` says; None says the usual.
        storage: The URL of the server that blobs are redirected to.
        ignores_ranges: Whether it sends whole blobs where a range is asked for.
        cuts: For each of the next requests for a blob: after how many bytes the connection is cut.
        statuses: For each of the next requests for a blob: the status of an error; 0 for none.
        claims: Sizes that it claims of blobs, by digest.
        damages: Blobs of which it sends other bytes.
        stalls: How many of the next bodies of blobs stall after their first bytes.
        answers: What answers a path instead, by its beginning: a function that gets the handler.
        chunks_received: Bytes of each chunk that was uploaded.
        upload_cuts: For each of the next chunks: after how many of its bytes the connection is cut.
    """

    def __init__(self, *, certificate: Path | None = None, host: str = "127.0.0.1") -> None:
        """Listen at a free port.

        Args:
            certificate: A certificate with its key: the server then speaks HTTPS.
            host: The address.
        """
        self.manifests: dict[tuple[str, str], tuple[bytes, str]] = {}
        self.blobs: dict[str, bytes] = {}
        self.asked: list[tuple[str, str, Mapping[str, str]]] = []
        self.sent: Counter[str] = Counter()
        self.user = ""
        self.needs_token = self.wants_basic = self.ignores_ranges = False
        self.challenge: str | None = None
        self.storage = ""
        self.cuts: list[int] = []
        self.statuses: list[int] = []
        self.claims: dict[str, int] = {}
        self.damages: set[str] = set()
        self.stalls = 0
        self.answers: dict[str, Callable[[Any], None]] = {}
        self.uploads: dict[str, bytearray] = {}
        self.chunks_received: list[int] = []
        self.upload_cuts: list[int] = []
        self.released = threading.Event()
        self._server = _Server((host, 0), _handler(self))
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            scheme = "https"
        self.host = f"{host}:{self._server.server_address[1]}"
        self.url = f"{scheme}://{self.host}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> RegistryServer:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # --- what is in it --------------------------------------------------------------------------

    def put_blob(self, data: bytes) -> str:
        digest = digest_of(data)
        self.blobs[digest] = data
        return digest

    def layer(self, data: bytes, kind: str = "model", **more: Any) -> dict[str, Any]:
        """Put a blob in, and return a layer of one of Ollama's kinds for it, or of a whole media type."""
        media_type = kind if "/" in kind else OLLAMA + kind
        return {"mediaType": media_type, "digest": self.put_blob(data), "size": len(data), **more}

    def put(
        self,
        name: str,
        layers: list[dict[str, Any]],
        *,
        config: Any = None,
        media_type: str = DOCKER_MANIFEST,
        **more: Any,
    ) -> bytes:
        """Put a model in and return its manifest. It is written with spaces: whoever writes it anew changes it."""
        repository, _, tag = name.partition(":")
        described = {"model_format": "gguf", "model_family": "llama"} if config is None else config
        layer = self.layer(json.dumps(described).encode(), "application/vnd.docker.container.image.v1+json")
        value = {"schemaVersion": 2, "mediaType": media_type, "config": layer, "layers": layers, **more}
        manifest = json.dumps(value, indent=3).encode()
        self.manifests[repository, tag or "latest"] = (manifest, media_type)
        return manifest

    # --- what was asked for ---------------------------------------------------------------------

    def paths(self, method: str = "GET") -> list[str]:
        return [path for asked, path, _ in self.asked if asked == method]

    def blob_requests(self, digest: str) -> list[Mapping[str, str]]:
        return [headers for _, path, headers in self.asked if digest in path]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that break: tests break them."""


def _handler(registry: RegistryServer) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        def __init__(self, *arguments: Any) -> None:
            self.registry = registry
            super().__init__(*arguments)

    return Handler


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: RegistryServer

    def log_message(self, *arguments: Any) -> None:
        pass

    def handle_all(self) -> None:
        registry = self.registry
        headers = {name.lower(): value for name, value in self.headers.items()}
        registry.asked.append((self.command, self.path, headers))
        path = urlsplit(self.path).path
        for beginning, answer in list(registry.answers.items()):
            if path.startswith(beginning):
                answer(self)
                return
        if path == "/token":
            self._token(headers)
        elif path.startswith("/storage/"):
            self._blob(path.rpartition("/")[2], headers)
        elif self._refused(headers):
            pass
        elif found := re.fullmatch(r"/v2/(.+)/manifests/([^/]+)", path):
            self._manifest(found[1], found[2])
        elif found := re.fullmatch(r"/v2/(.+)/blobs/uploads/([^/]*)", path):
            self._upload(found[1], found[2], headers)
        elif found := re.fullmatch(r"/v2/(.+)/blobs/(sha256:[0-9a-f]{64})", path):
            self._own_blob(found[2], headers)
        else:
            self.answer(404)

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = handle_all

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error(self, status: int, code: str) -> None:
        self.answer(status, json.dumps({"errors": [{"code": code, "message": "\x1b[31mno"}]}).encode())

    def cut(self) -> None:
        """End the connection in the middle of what is sent or received."""
        self.close_connection = True
        self.connection.shutdown(2)

    # --- access ---------------------------------------------------------------------------------

    def _refused(self, headers: Mapping[str, str]) -> bool:
        registry, given = self.registry, headers.get("authorization", "")
        if registry.wants_basic:
            wanted = f"Basic {base64.b64encode(registry.user.encode()).decode()}"
            challenge = 'Basic realm="models"'
        elif registry.needs_token:
            wanted = "Bearer good-token"
            challenge = f'Bearer realm="{registry.url}/token",service="a, realm=b",scope="repository:x:pull"'
        else:
            return False
        if given == wanted:
            return False
        with suppress(ValueError):
            self.rfile.read(int(headers.get("content-length", "0")))
        self.answer(401, WWW_Authenticate=challenge if registry.challenge is None else registry.challenge)
        return True

    def _token(self, headers: Mapping[str, str]) -> None:
        user = self.registry.user
        if user and headers.get("authorization", "") != f"Basic {base64.b64encode(user.encode()).decode()}":
            self.answer(401)
        else:
            self.answer(200, b'{"token": "good-token"}')

    # --- what is asked for ----------------------------------------------------------------------

    def _manifest(self, repository: str, tag: str) -> None:
        registry = self.registry
        if self.command == "PUT":
            data = self.rfile.read(int(self.headers["Content-Length"]))
            value = json.loads(data)
            if any(layer["digest"] not in registry.blobs for layer in (value["config"], *value["layers"])):
                self.error(400, "MANIFEST_BLOB_UNKNOWN")
                return
            registry.manifests[repository, tag] = (data, self.headers["Content-Type"])
            self.answer(201, Docker_Content_Digest=digest_of(data))
        elif (repository, tag) in registry.manifests:
            data, media_type = registry.manifests[repository, tag]
            self.answer(200, data, Content_Type=media_type)
        else:
            self.error(404, "MANIFEST_UNKNOWN")

    def _own_blob(self, digest: str, headers: Mapping[str, str]) -> None:
        registry = self.registry
        if digest not in registry.blobs and not registry.storage:
            self.error(404, "BLOB_UNKNOWN")
        elif registry.storage and self.command == "GET":
            self.answer(307, Location=f"{registry.storage}/storage/{digest}?signature=s3cret")
        else:
            self._blob(digest, headers)

    def _blob(self, digest: str, headers: Mapping[str, str]) -> None:
        registry = self.registry
        data = registry.blobs[digest]
        if registry.statuses and len(data) > _SMALL and (status := registry.statuses.pop(0)):
            self.error(status, "SOMETHING")
            return
        claimed = registry.claims.get(digest, len(data))
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", headers.get("range", ""))
        if asked and not registry.ignores_ranges:
            begins, ends = int(asked[1]), min(int(asked[2]) + 1, len(data))
            if begins >= len(data):
                self.answer(416, Content_Range=f"bytes */{len(data)}")
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begins}-{ends - 1}/{claimed}")
        else:
            begins, ends = 0, len(data)
            self.send_response(200)
        self.send_header("Content-Length", str(claimed if ends - begins == len(data) else ends - begins))
        self.end_headers()
        if self.command != "HEAD":
            self._send(digest, bytes(data[begins:ends]))

    def _send(self, digest: str, body: bytes) -> None:
        registry = self.registry
        is_small = len(registry.blobs[digest]) <= _SMALL
        cut = registry.cuts.pop(0) if registry.cuts and not is_small else None
        if digest in registry.damages:
            body = body[:-1] + bytes([body[-1] ^ 1])
        if registry.stalls and not is_small:
            registry.stalls -= 1
            self.wfile.write(body[:100])
            registry.sent[digest] += 100
            registry.released.wait(60)
            self.cut()
            return
        for at in range(0, len(body), _SENT_AT_ONCE):
            piece = body[at : min(at + _SENT_AT_ONCE, len(body) if cut is None else cut)]
            self.wfile.write(piece)
            registry.sent[digest] += len(piece)
            if cut is not None and at + _SENT_AT_ONCE >= cut:
                # What was written has to arrive: a connection that is reset loses it
                self.wfile.flush()
                self.cut()
                return

    # --- uploads --------------------------------------------------------------------------------

    def _upload(self, repository: str, key: str, headers: Mapping[str, str]) -> None:
        registry = self.registry
        query = parse_qs(urlsplit(self.path).query)
        where = f"/v2/{repository}/blobs/uploads/"
        if self.command == "POST":
            if query.get("mount", [""])[0] in registry.blobs and "from" in query:
                self.answer(201)
                return
            key = uuid.uuid4().hex
            registry.uploads[key] = bytearray()
            self.answer(202, Location=f"{where}{key}?state=a%2Bb")
        elif key not in registry.uploads:
            self.error(404, "BLOB_UPLOAD_UNKNOWN")
        elif self.command == "GET":
            self.answer(204, Location=self.path, Range=f"0-{max(0, len(registry.uploads[key]) - 1)}")
        elif self.command == "PATCH":
            self._chunk(key, headers)
        else:
            self._finish(key, query["digest"][0])

    def _chunk(self, key: str, headers: Mapping[str, str]) -> None:
        registry = self.registry
        upload = registry.uploads[key]
        begins, ends = (int(text) for text in headers["content-range"].split("-"))
        cut = registry.upload_cuts.pop(0) if registry.upload_cuts else None
        if begins != len(upload):
            self.error(416, "RANGE_INVALID")
            return
        left = ends + 1 - begins if cut is None else cut
        while left and (data := self.rfile.read(min(left, _SENT_AT_ONCE))):
            upload += data
            left -= len(data)
        if cut is not None:
            self.cut()
            return
        registry.chunks_received.append(ends + 1 - begins)
        self.answer(202, Location=self.path, Range=f"0-{len(upload) - 1}")

    def _finish(self, key: str, digest: str) -> None:
        data = bytes(self.registry.uploads.pop(key))
        if digest_of(data) != digest:
            self.error(400, "DIGEST_INVALID")
            return
        self.registry.blobs[digest] = data
        self.answer(201, Docker_Content_Digest=digest)


def trickling(piece: bytes, every_s: float, *, declares: int | None = None) -> Callable[[Any], None]:
    """Return an answer that sends a piece again and again, without an end."""

    def answer(handler: Any) -> None:
        handler.send_response(200)
        if declares is not None:
            handler.send_header("Content-Length", str(declares))
        else:
            handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        while not handler.registry.released.is_set():
            framed = piece if declares is not None else b"%x\r\n%s\r\n" % (len(piece), piece)
            handler.wfile.write(framed)
            time.sleep(every_s)

    return answer
