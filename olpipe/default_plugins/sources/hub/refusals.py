"""What it means when the hub does not give what it was asked for, and what to do then.

Source: `hf_raise_for_status` in https://github.com/huggingface/huggingface_hub/blob/main/src/huggingface_hub/utils/_http.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import httpx

from olpipe.default_plugins.sources.transfer.ranges import asked_wait_s
from olpipe.default_plugins.sources.transfer.trouble import NotThere, Transient, Trouble

SENT = "sent"
WITHHELD = "withheld"

_RESET = re.compile(r"(?:^|;)\s*t=(\d{1,5})\b")


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks the hub, and for what.

    Attributes:
        endpoint: The URL of the hub.
        repository: The repository; empty for a search.
        proof: Whether the token was `SENT`, or `WITHHELD` because others could read it; empty where there is none.
    """

    endpoint: str
    repository: str
    proof: str


def check(response: httpx.Response, what: str, status: int, asker: Asker) -> None:
    """Check the status of an answer of the hub, or of a host that it leads to.

    Args:
        response: The answer.
        what: What was asked for.
        status: The status of success.
        asker: Who asks, and for what.

    Raises:
        NotThere: There is no such thing.
        Trouble: It cannot be had.
        Transient: Another attempt may succeed.
    """
    found, host = response.status_code, response.request.headers["Host"]
    if found == status:
        return
    code = response.headers.get("x-error-code", "")
    if code == "GatedRepo":
        raise _gated(asker)
    if found == 401 and asker.proof == SENT and "credentials" in response.headers.get("x-error-message", ""):
        raise Trouble(f"`{host}` does not accept the token", hint="run `hf auth login` again, or correct HF_TOKEN")
    if code == "RevisionNotFound":
        hint = f"{asker.endpoint}/{asker.repository} shows its branches and commits"
        raise NotThere(f"`{asker.repository}` on the hub does not have {what}", hint=hint)
    if asker.repository and (code == "RepoNotFound" or (found in (401, 404) and code != "EntryNotFound")):
        raise NotThere(f"the hub has no model `{asker.repository}`, or it is private", hint=_private_hint(asker))
    if found == 429:
        who = "" if asker.proof == SENT else "; who is logged in, as with `hf auth login`, may ask more often"
        raise Transient(f"`{host}` was asked too often in a short time{who}", wait_s=_pause_s(response))
    message = f"`{host}` answered with the status {found} when asked for {what}"
    if found == 404:
        raise NotThere(message)
    if found in (408, 425) or found >= 500:
        raise Transient(message, wait_s=asked_wait_s(response))
    if found in (401, 403):
        raise Trouble(message, hint=_private_hint(asker))
    raise Trouble(message)


def _gated(asker: Asker) -> Trouble:
    """Return the trouble with a repository whose owner wants to know who pulls it."""
    page = f"{asker.endpoint}/{asker.repository}"
    message = f"`{asker.repository}` is gated: its owner lets in only users who accept its terms"
    if asker.proof == SENT:
        return Trouble(message, hint=f"accept them at {page} as the user of your token, or wait for the owner's answer")
    if asker.proof == WITHHELD:
        return Trouble(message, hint=_private_hint(asker))
    return Trouble(message, hint=f"accept them at {page}, then run `hf auth login`, or set HF_TOKEN")


def _private_hint(asker: Asker) -> str:
    if asker.proof == WITHHELD:
        return "your token was not sent, because HF_ENDPOINT begins with `http://`, and others could read it"
    if asker.proof == SENT:
        return "check the spelling, and that the user of your token may read it"
    return "check the spelling; for a private model, run `hf auth login`, or set HF_TOKEN"


def _pause_s(response: httpx.Response) -> float:
    """Return how long the hub asks to wait: `Retry-After`, or when its limit begins anew."""
    found = _RESET.search(response.headers.get("ratelimit", ""))
    return asked_wait_s(response) or (float(found[1]) if found else 0.0)
