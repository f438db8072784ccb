"""The page for browsers: one file, which asks nobody but this server."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

_FILE = Path(__file__).parents[1] / "page.html"
_INSIDE = r"<{0}>(.*?)</{0}>"


def wants_page(request: Request) -> bool:
    """Say whether it is a browser that asks. Other clients do not accept HTML by name."""
    return "text/html" in request.headers.get("accept", "")


def page() -> Response:
    """Return the page. Its policy allows the script and the style that are in it, and no others."""
    text, policy = _page()
    return HTMLResponse(
        text,
        headers={
            "Cache-Control": "no-cache",
            "Content-Security-Policy": policy,
            "Cross-Origin-Opener-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "Vary": "Accept",
            "X-Content-Type-Options": "nosniff",
        },
    )


@cache
def _page() -> tuple[str, str]:
    """Return the page and its policy."""
    text = _FILE.read_text(encoding="utf-8")
    rules = (
        "default-src 'none'",
        f"script-src {_hash(text, 'script')}",
        f"style-src {_hash(text, 'style')}",
        "img-src blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    return text, "; ".join(rules)


def _hash(text: str, element: str) -> str:
    """Return the hash by which a policy names what stands in an element of a page."""
    (inside,) = re.findall(_INSIDE.format(element), text, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()}'"
