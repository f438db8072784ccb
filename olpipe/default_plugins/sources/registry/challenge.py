"""Read what a registry demands of who asks it, the header `WWW-Authenticate`, strictly.

What is not exactly a challenge is refused. A lenient reader can be made to take a part of one value for another value:
a comma or `realm=` in a quoted text, or a parameter that is there twice.
Source: https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from olpipe.default_plugins.sources.transfer.trouble import Trouble

LONGEST = 4096
"""Most characters of a challenge."""

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[\t !#-\[\]-~]|\\[\t -~])*"'
_PARAMETER = re.compile(rf"({_TOKEN})[ \t]*=[ \t]*({_TOKEN}|{_QUOTED})")
_SCHEME = re.compile(rf"({_TOKEN})(?:[ \t]+|$)")
_BETWEEN = re.compile(r"[ \t]*,[ \t]*")
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a registry demands.

    Attributes:
        scheme: How to prove who one is, in lower case: `basic` or `bearer`.
        parameters: What it says about that, by names in lower case.
    """

    scheme: str
    parameters: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> Challenge:
        """Read one challenge.

        Raises:
            ValueError: It is none, or it says something twice.
        """
        scheme = _SCHEME.match(text)
        if scheme is None or len(text) > LONGEST:
            raise ValueError("it does not begin with a scheme, or it is too long")
        at, parameters = scheme.end(), dict[str, str]()
        while at < len(text):
            found = _PARAMETER.match(text, at)
            if found is None:
                raise ValueError(f"it has no parameter at character {at}")
            name, value = found[1].lower(), found[2]
            if name in parameters:
                raise ValueError(f"it has `{name}` twice")
            parameters[name] = _ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value
            at = found.end()
            if at < len(text):
                between = _BETWEEN.match(text, at)
                if between is None or between.end() == len(text):
                    raise ValueError(f"it has something else than a comma at character {at}")
                at = between.end()
        return cls(scheme[1].lower(), parameters)


def demanded(headers: Iterable[str], host: str) -> Challenge:
    """Return the first challenge that can be met: of a token, or else of a password.

    Args:
        headers: The header's values. A registry that offers a choice sends several.
        host: The registry's host.

    Raises:
        Trouble: There is none, or one of them is no challenge.
    """
    challenges = []
    for text in headers:
        try:
            challenges.append(Challenge.parse(text))
        except ValueError as error:
            raise Trouble(f"`{host}` demands a proof of identity that cannot be understood: {error}") from error
    for scheme in ("bearer", "basic"):
        for challenge in challenges:
            if challenge.scheme == scheme:
                return challenge
    raise Trouble(f"`{host}` refuses access, and does not say how to get it")
