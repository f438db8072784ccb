"""Which repository of the hub is meant, which revision of it, and which of its models."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from olpipe.errors import InvalidName
from olpipe.model import DEFAULT_TAG, ModelName

HOSTS = ("hf.co", "huggingface.co")

_WORD = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
_REFERENCE = re.compile(
    rf"(?P<owner>{_WORD})/(?P<repository>{_WORD})"
    r"(?:@(?P<revision>[A-Za-z0-9_][A-Za-z0-9_./-]*))?(?::(?P<variant>[A-Za-z0-9_][A-Za-z0-9_./-]*))?"
)
_LONGEST = 96
"""Most characters of an owner and of a repository. Source: https://huggingface.co/docs/huggingface_hub"""


@dataclass(frozen=True, slots=True)
class HubReference:
    """What is pulled from the hub.

    Attributes:
        host: The host that was written: one of `HOSTS`.
        owner: Who publishes the repository.
        repository: Its name.
        revision: A branch, a tag or a commit; empty for the usual branch.
        variant: A quantisation, a file's name, or the folder of a package or a part of its name; empty for the usual
            one.
        text: The whole reference, as it was written.
    """

    host: str
    owner: str
    repository: str
    revision: str = ""
    variant: str = ""
    text: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a reference. It may have one of the hosts before it, and slashes before that.

        Raises:
            InvalidName: It is none.
        """
        rest = text.removeprefix("https:").lstrip("/")
        host = next((host for host in HOSTS if rest.lower().startswith(f"{host}/")), "")
        found = _REFERENCE.fullmatch(rest[len(host) + 1 :] if host else rest)
        too_long = found is not None and max(len(found["owner"]), len(found["repository"])) > _LONGEST
        if found is None or too_long or ".." in rest or "--" in (found["owner"], found["repository"]):
            hint = "write it like `hf.co/OWNER/REPOSITORY:Q4_K_M`; `@REVISION` goes before the colon"
            raise InvalidName(f"`{text}` is no model on the hub", hint=hint)
        variant = found["variant"] or ""
        return cls(
            host or HOSTS[0],
            found["owner"],
            found["repository"],
            found["revision"] or "",
            "" if variant == DEFAULT_TAG else variant,
            text,
        )

    @property
    def id(self) -> str:
        """What the hub calls the repository."""
        return f"{self.owner}/{self.repository}"

    @property
    def name(self) -> ModelName:
        """The model's usual name here.

        Raises:
            InvalidName: A part of it is too long for a name, or has characters that no name has.
        """
        tag = self.variant.replace("/", "-") or DEFAULT_TAG
        text = f"{self.host}/{self.id}:{tag}"
        try:
            return ModelName.parse(text)
        except InvalidName as error:
            raise InvalidName(f"`{text}` cannot be a model's name here", hint="give one with `--name`") from error
