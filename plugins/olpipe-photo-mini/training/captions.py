"""Clean the captions that people wrote, so that a model can learn from them.

The language model knows of a photo only what the evidence says. What cannot follow from that (sexes, ages, colours,
looks, praise) is taken out of the captions. Otherwise the model would learn to invent it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

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
UNITS = re.compile(r"\b(on top of|in front of|next to|in the middle of|on the side of|on a|side by side|out of)\b")
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


def usual_endings(captions: Iterable[str]) -> frozenset[str]:
    """Return the words that often end a caption. Nearly all of them are nouns."""
    uses: Counter[str] = Counter()
    endings: Counter[str] = Counter()
    for caption in captions:
        words = caption.replace(",", "").split()
        uses.update(words)
        endings[words[-1]] += 1
    return frozenset(word for word, count in endings.items() if count >= LEAST_USES and count / uses[word] >= 0.15)


def usual_words(captions: Iterable[str]) -> frozenset[str]:
    """Return the words that enough captions use."""
    uses = Counter(word for caption in captions for word in set(caption.replace(",", "").split()))
    return frozenset(word for word, count in uses.items() if count >= LEAST_USES)


def title(text: str, endings: frozenset[str]) -> str | None:
    """Return the beginning of a clean caption as a headline of two to seven words, or None where none is possible.

    Args:
        text: The caption.
        endings: Words that a headline may end with.
    """
    text = re.sub(r"^(a|an|the|some|one) ", "", text.split(",")[0])
    text = re.sub(r" (?:that |who |which )?(?:is|are) (?=\w+ing\b)", " ", text)
    words = [unit.replace("_", " ") for unit in UNITS.sub(lambda unit: unit[0].replace(" ", "_"), text).split()]
    if _length(words) > TITLE_WORDS:
        cuts = (cut for cut in range(1, len(words)) if words[cut].split()[0] in _BOUNDARIES)
        words = words[: max((cut for cut in cuts if _length(words[:cut]) <= TITLE_WORDS), default=0)]
    whole = " ".join(words)
    if _length(words) < 2 or words[-1] not in endings or re.search(r"\b(is|are|was|were)\b", whole):
        return None
    return f"{whole[:1].upper()}{whole[1:]}"


def _length(units: Sequence[str]) -> int:
    return sum(len(unit.split()) for unit in units)
