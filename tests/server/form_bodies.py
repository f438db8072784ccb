"""Bodies of forms, as browsers and curl send them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping


def form(fields: Mapping[str, object], file: str | None = None, data: bytes = b"") -> tuple[bytes, str]:
    """Return the body and the content type of a form with fields, and a photo if it has a name."""
    mark = uuid.uuid4().hex
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
    if file is not None:
        head = f'Content-Disposition: form-data; name="image"; filename="{file}"\r\nContent-Type: image/jpeg\r\n\r\n'
        parts.append(head.encode() + data)
    body = b"".join(b"--" + mark.encode() + b"\r\n" + part + b"\r\n" for part in parts) + f"--{mark}--\r\n".encode()
    return body, f"multipart/form-data; boundary={mark}"
