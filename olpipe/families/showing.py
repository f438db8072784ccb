"""Show images to a model: the tokens that stand for an image, and fewer of them where a prompt has no room."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from olpipe.decoding.preparing import SLACK
from olpipe.decoding.prompt import Prompt
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.families.rendering import ImageSpan
from olpipe.generation import GenerateRequest
from olpipe.image import DecodedImage, ShownImage
from olpipe.interfaces.vision import Fitted, Layout

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SPARE_PIXELS = 4
"""Photos come with up to so many times the pixels that the encoder takes, so that they are resized well here."""

LEAST_SHARE = 4
"""Images are not shown with less than one of so many parts of their usual tokens where messages may be left out."""

_LARGE_SIDE = 1 << 14  # of a photo that is larger than what any encoder takes


@dataclass(frozen=True, slots=True)
class View:
    """What the encoder has to look at.

    Attributes:
        image: The image.
        fitted: The size in which it is shown.
    """

    image: DecodedImage
    fitted: Fitted


def usable_pixels(fit: Callable[[int, int], Fitted]) -> int:
    """Return how many pixels of a photo can be used.

    Args:
        fit: Returns the size in which a photo of a width and a height is shown.
    """
    largest = fit(_LARGE_SIDE, _LARGE_SIDE)
    return SPARE_PIXELS * largest.width * largest.height


def span_of(
    view: View,
    layout: Layout,
    shown: ShownImage,
    *,
    vocabulary: Vocabulary,
    placeholder: int,
    rotary: npt.NDArray[np.int64] | None = None,
) -> ImageSpan:
    """Return the tokens that stand for an image. Nobody has looked at the image yet.

    Args:
        view: The image and the size in which it is shown.
        layout: What stands for it.
        shown: The image as the encoder sees it.
        vocabulary: The model's tokens.
        placeholder: The token at whose places the features stand.
        rotary: As in `PlacedImage`.
    """
    body: list[int] = []
    rows: list[int] = []
    before = 0  # rows of features so far
    for part in layout.body:
        if isinstance(part, int):
            body += [placeholder] * part
            rows += range(before + 1, before + 1 + part)
            before += part
        else:
            marks = vocabulary.encode(part)
            body += marks
            rows += [0] * len(marks)
    return ImageSpan(
        tuple(body),
        0,
        len(body),
        hashlib.sha256(f"{view.image.digest()} {view.fitted}".encode()).hexdigest(),
        before=layout.before,
        after=layout.after,
        rows=tuple(rows),
        rotary=rotary,
        shown=shown,
        view=view,
    )


def prompt_with_room(
    render: Callable[[int], Prompt], tokens: int, request: GenerateRequest, *, context_length: int
) -> Prompt:
    """Return a prompt that leaves room for the answer.

    Its images get half as many tokens, and half again, until there is room. Where no number of tokens is small enough,
    the prompt with the smallest images is returned. Where messages may be left out, images get no less than
    one `LEAST_SHARE`th of their usual tokens.

    Args:
        render: Returns the prompt where an image has at most so many tokens.
        tokens: Most tokens of an image where there is room.
        request: The request. Half of the context is room enough for any answer.
        context_length: Most tokens of prompt plus answer of the loaded model.
    """
    most = request.context_within(context_length)
    room = most - min(request.sampling.max_tokens + SLACK, most // 2)
    least = max(1, tokens // LEAST_SHARE) if request.truncate else 1
    prompt = render(tokens)
    while prompt.images and len(prompt) > room and tokens // 2 >= least:
        tokens //= 2
        prompt = render(tokens)
    return prompt
