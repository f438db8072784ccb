"""What decides how the hub is asked: the settings, and how patient olpipe is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from olpipe.default_plugins.sources.transfer.options import TransferOptions
from olpipe.errors import PullFailed
from olpipe.settings import Settings

DEFAULT_ENDPOINT = "https://huggingface.co"


@dataclass(frozen=True, slots=True)
class HubOptions(TransferOptions):
    """What decides how the hub is asked.

    Attributes:
        endpoint: The URL of the hub, or of a mirror, without a slash at its end.
        token: What proves who asks; empty where nothing does.
    """

    endpoint: str = DEFAULT_ENDPOINT
    token: str = ""

    @classmethod
    def read(cls) -> Self:
        """Read the settings of this process.

        Raises:
            PullFailed: The settings say not to ask the hub.
        """
        settings = Settings.read()
        if settings.hub_offline:
            message = "the Hugging Face hub is not asked, because HF_HUB_OFFLINE is set"
            raise PullFailed(message, hint="unset it, or set it to 0")
        return cls(
            endpoint=settings.hub_endpoint,
            token=settings.hub_token or _kept_token(),
            streams=settings.transfer_streams,
        )


def _kept_token() -> str:
    """Return the token that `hf auth login` keeps; empty where there is none.

    The hub's own library finds it, because tokens of a login in the browser end soon, and the library renews them.
    """
    from huggingface_hub import get_token

    try:
        return get_token() or ""
    except (OSError, ValueError) as error:
        message = f"the token that `hf auth login` keeps cannot be read: {error}"
        raise PullFailed(message, hint="run `hf auth login` again, or set HF_TOKEN") from error
