"""Images in requests: base64, alone or in a data URL, or where they are."""

from __future__ import annotations

import base64
import binascii
import mimetypes

from olpipe.server.question import EncodedImage
from olpipe.server.refusal import Refusal


def from_base64(text: str, place: str) -> EncodedImage:
    """Return the image of a base64 text, which may have line breaks.

    It may be a data URL. Its type counts for formats that the bytes alone do not tell, such as TIFF.

    Raises:
        Refusal: It is not base64, or it is empty.
    """
    suffix = ""
    if text.startswith("data:"):
        kind, comma, text = text.removeprefix("data:").partition(",")
        if not comma:
            raise Refusal(400, f"`{place}` is a data URL without data")
        suffix = _suffix(kind.partition(";")[0].strip().lower())
    try:
        data = base64.b64decode(text.translate(_BLANKS).translate(_URL_SAFE), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal(400, f"`{place}` is not base64: {error}") from error
    if not data:
        raise Refusal(400, f"`{place}` is an empty image")
    return EncodedImage(data, suffix=suffix)


def from_url(text: str, place: str) -> EncodedImage:
    """Return the image of a URL of http or https, of a data URL, or of plain base64.

    An image elsewhere is not fetched here. `olpipe.server.image_urls` does so where the settings allow it.

    Raises:
        Refusal: It is not base64, or it is empty.
    """
    if text[:8].lower().startswith(("http://", "https://")):
        return EncodedImage(b"", text)
    return from_base64(text, place)


def _suffix(media_type: str) -> str:
    """Return how names of files of a type end; empty where that is not known."""
    kind, _, name = media_type.partition("/")
    return mimetypes.guess_extension(media_type) or f".{name.removeprefix('x-')}" if kind == "image" and name else ""


_BLANKS = {ord(blank): None for blank in " \t\r\n"}
_URL_SAFE = str.maketrans("-_", "+/")
