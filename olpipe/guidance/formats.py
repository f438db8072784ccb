"""Regular expressions for the formats of JSON Schema.

Each expression allows only a part of its format: sensible values (no 31 February, no leap second, no year 0000) that
every common checker accepts.
"""

from __future__ import annotations

_YEAR = "[12][0-9]{3}"
_LEAP_YEAR = "(?:[12][0-9](?:0[48]|[2468][048]|[13579][26])|(?:12|16|20|24|28)00)"
_DATE = (
    f"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    f"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP_YEAR}-02-29)"
)
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = f"{_CLOCK}:[0-5][0-9](?:\\.[0-9]{{1,6}})?(?:Z|[+-]{_CLOCK})"
_AMOUNT = "[0-9]{1,4}"
_CLOCK_PARTS = f"T(?:{_AMOUNT}H(?:{_AMOUNT}M(?:{_AMOUNT}S)?)?|{_AMOUNT}M(?:{_AMOUNT}S)?|{_AMOUNT}S)"
_DATE_PARTS = f"(?:{_AMOUNT}Y(?:{_AMOUNT}M(?:{_AMOUNT}D)?)?|{_AMOUNT}M(?:{_AMOUNT}D)?|{_AMOUNT}D)"
_LABEL = "[a-z][a-z0-9]{0,20}(?:-[a-z0-9]{1,20}){0,2}"
_HOST = f"{_LABEL}(?:\\.{_LABEL}){{0,3}}"
_PATH = "(?:/[A-Za-z0-9._~-]{0,60}){0,12}"
_TAIL = "(?:\\?[A-Za-z0-9._~=&/-]{0,120})?(?:#[A-Za-z0-9._~/-]{0,60})?"
_URI = (
    f"[a-z][a-z0-9+.-]{{0,15}}:(?://{_HOST}(?::[1-9][0-9]{{0,3}})?{_PATH}{_TAIL}"
    f"|[A-Za-z0-9][A-Za-z0-9._~:@/+-]{{0,120}})"
)
_URI_REFERENCE = f"(?:{_URI}|{_PATH}{_TAIL})"
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_GROUP = "[0-9a-f]{1,4}"
_POINTER = "(?:/[A-Za-z0-9_.-]{0,40}){0,12}"

FORMATS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "duration": f"P(?:{_DATE_PARTS}(?:{_CLOCK_PARTS})?|{_CLOCK_PARTS}|{_AMOUNT}W)",
    "email": f"[A-Za-z0-9_]{{1,30}}(?:[.+-][A-Za-z0-9_]{{1,20}}){{0,2}}@{_LABEL}(?:\\.{_LABEL}){{1,3}}",
    "hostname": _HOST,
    "ipv4": f"{_OCTET}(?:\\.{_OCTET}){{3}}",
    "ipv6": f"(?:{_GROUP}(?::{_GROUP}){{7}}|{_GROUP}(?::{_GROUP}){{0,5}}::{_GROUP}|::(?:{_GROUP})?)",
    "uri": _URI,
    "uri-reference": _URI_REFERENCE,
    "uuid": "[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    "json-pointer": _POINTER,
    "relative-json-pointer": f"(?:0|[1-9]{{1,3}})(?:#|{_POINTER})",
    "regex": r"\^?(?:(?:[A-Za-z0-9 _/:@-]|\\[dws.]|\[(?:a-z|A-Z|0-9){1,3}\])[+*?]?){0,60}\$?",
    "uri-template": f"https?://{_HOST}(?:/(?:[A-Za-z0-9._~-]{{1,40}}|\\{{[a-z][a-z0-9_]{{0,20}}\\}})){{0,8}}",
}
"""For each format an expression of the whole text. Other formats are annotations, as the standard says."""

FORMATS |= {
    "idn-email": FORMATS["email"],
    "idn-hostname": FORMATS["hostname"],
    "iri": FORMATS["uri"],
    "iri-reference": FORMATS["uri-reference"],
}
