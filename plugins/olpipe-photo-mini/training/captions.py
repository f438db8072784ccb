"""Clean the captions that people wrote, so that a model can learn from them.

The language model knows of a photo only what the evidence says. What cannot follow from that (sexes, ages, colours,
looks, praise) is taken out of the captions. Otherwise the model would learn to invent it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

FEWEST_WORDS, MOST_WORDS = 5, 18
MOST_CHARACTERS = 110
TITLE_WORDS = 7
LEAST_USES = 4
"""A word that fewer captions use is probably misspelt, or too special to follow from evidence."""

_KINDS = r"photo(graph)?s?|pictures?|images?|shots?|views?|snapshots?|portraits?|scenes?|close[- ]?ups?"
_OPENING = re.compile(
    rf"^(in )?(this is|here is|here are|there is|there are|there's|it is|it's|we see|you see)\b\s*"
    rf"|^(a|an|the|this|some)?\s*(\w+ |close up ){{0,2}}({_KINDS})\s+(of|showing|shows|with|that shows)\b\s*",
    re.IGNORECASE,
)
_REFUSED = re.compile(
    rf"[^a-z ,'-]|\b(i|my|we|our|us|you|your|he|she|him|himself|herself|{_KINDS}|camera|posing|"
    r"pose[sd]?|seen|appears?|seems?|looks? like|someone|something|unable|nothing|not|no|what|name|called)\b"
)
_ONE = "(man|woman|boy|girl|lady|guy)"
_PAIRS = re.compile(rf"\b(a |an |one )?{_ONE}( and | with | next to )(a |an |one |another )?{_ONE}\b")
_LOOKS = (
    "young old older elderly adult little cute beautiful pretty nice lovely handsome gorgeous colorful colored bright "
    "dark blonde blond bearded bald brunette asian african american indian chinese japanese white black red blue green "
    "yellow brown gray grey pink purple tan beige gold golden silver orange multicolored fancy ornate antique vintage "
    "modern interesting strange unique delicious tasty yummy fresh healthy happy sad smiling male female"
).split()
_LOOK = re.compile(
    rf"(?<!all )\b({'|'.join(_LOOKS)})(( and |, | )({'|'.join(_LOOKS)}))*\s+(?!(and|with|in|on|is|are)\b)(?=[a-z])"
)
_NEUTRAL = {
    r"(man|woman|lady|guy|businessman|policeman|fisherman|cowboy)": "person",
    r"(men|women|ladies|guys|gentlemen|gentleman|persons)": "people",
    r"(boy|girl|kid|toddler)": "child",
    r"(boys|girls|kids|toddlers)": "children",
    r"(man|woman|lady|guy|boy|girl)'s": "person's",
    r"(his|her)": "their",
}
_BOUNDARIES = frozenset(
    "with that which while and as who near behind by in on at of under over inside outside next for from to through "
    "during along beside between against around across down up into off above below is are was has have".split()
)
_DANGLING = _BOUNDARIES | frozenset("a an the their its some another one two three very being".split())


def clean(caption: str) -> str | None:
    """Return a caption in lower case without its full stop, as far as it can follow from evidence, or None.

    None stands for captions that are about the photographer, that judge, or that are too short or too long.
    """
    # 1. Take out openings (`there is`, `a photo of`) and looks, and say `person` for `man` and `woman`
    text = re.sub(r"\s+", " ", caption.strip().rstrip(". ").lower())
    for _ in range(2):
        text = _OPENING.sub("", text, count=1)
    text = _PAIRS.sub("two people", text)
    text = _LOOK.sub("", text)
    for pattern, word in _NEUTRAL.items():
        text = re.sub(rf"\b({pattern})\b", word, text)
    text = _articles(re.sub(r"\s+", " ", text).strip(" ,"))
    # 2. Refuse what is still not fit to learn from
    words = text.split()
    if _REFUSED.search(text) or not FEWEST_WORDS <= len(words) <= MOST_WORDS or len(text) > MOST_CHARACTERS:
        return None
    if words.count("person") > 1 or words[-1] in _DANGLING or words[0] in _BOUNDARIES:
        return None
    return text


def _articles(text: str) -> str:
    text = re.sub(r"\ba (?=[aeio]|un[^i]|um)(?!one\b|once\b|eu)", "an ", text)
    return re.sub(r"\ban (?=[^aeiouh ])", "a ", text)


def usual_words(captions: Iterable[str]) -> frozenset[str]:
    """Return the words that enough captions use."""
    uses = Counter(word for caption in captions for word in set(caption.replace(",", "").split()))
    return frozenset(word for word, count in uses.items() if count >= LEAST_USES)
