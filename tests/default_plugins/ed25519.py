"""Check signatures of Ed25519 as RFC 8032 defines them, slowly and with nothing but whole numbers.

Source: https://www.rfc-editor.org/rfc/rfc8032#section-5.1
"""

from __future__ import annotations

import hashlib

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)  # of -1

Point = tuple[int, int]


def _added(one: Point, two: Point) -> Point:
    (x1, y1), (x2, y2) = one, two
    mixed = _D * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + mixed, -1, _P)
    y = (y1 * y2 + x1 * x2) * pow(1 - mixed, -1, _P)
    return x % _P, y % _P


def _times(count: int, point: Point) -> Point:
    total = (0, 1)
    while count:
        if count & 1:
            total = _added(total, point)
        point = _added(point, point)
        count >>= 1
    return total


def _point(data: bytes) -> Point:
    value = int.from_bytes(data, "little")
    y, is_odd = value & (2**255 - 1), value >> 255
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if x * x % _P != square:
        x = x * _ROOT % _P
    if x * x % _P != square:
        raise ValueError("these bytes are no point of the curve")
    return (_P - x if x & 1 != is_odd else x), y


_BASE = _point((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))


def verifies(public: bytes, signed: bytes, message: bytes) -> bool:
    """Say whether a signature is one that the owner of a public key made of a message."""
    scalar = int.from_bytes(signed[32:], "little")
    if len(signed) != 64 or len(public) != 32 or scalar >= _ORDER:
        return False
    digest = hashlib.sha512(signed[:32] + public + message).digest()
    challenge = int.from_bytes(digest, "little") % _ORDER
    return _times(scalar, _BASE) == _added(_point(signed[:32]), _times(challenge, _point(public)))
