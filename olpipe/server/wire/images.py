"""Images in requests: base64, alone or in a data URL, or where they are."""

from __future__ import annotations

import base64
import binascii

from olpipe.server.question import EncodedImage
from olpipe.server.refusal import Refusal


def from_base64(text: str, place: str) -> EncodedImage:
    """Return the image of a base64 text, which may have the prefix of a data URL and line breaks.

    Raises:
        Refusal: It is not base64, or it is empty.
    """
    if text.startswith("data:"):
        _, comma, text = text.partition(",")
        if not comma:
            raise Refusal(400, f"`{place}` is a data URL without data")
    try:
        data = base64.b64decode(text.translate(_BLANKS).translate(_URL_SAFE), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal(400, f"`{place}` is not base64: {error}") from error
    if not data:
        raise Refusal(400, f"`{place}` is an empty image")
    return EncodedImage(data)


def from_url(text: str, place: str) -> EncodedImage:
    """Return the image of a URL of http or https, of a data URL, or of plain base64.

    An image elsewhere is not fetched here. `olpipe.server.image_urls` does so where the settings allow it.

    Raises:
        Refusal: It is not base64, or it is empty.
    """
    if text[:8].lower().startswith(("http://", "https://")):
        return EncodedImage(b"", text)
    return from_base64(text, place)


_BLANKS = {ord(blank): None for blank in " \t\r\n"}
_URL_SAFE = str.maketrans("-_", "+/")
