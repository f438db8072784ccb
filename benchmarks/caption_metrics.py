"""Say how well texts agree with what is in a photo, and with what people wrote about it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

TABLE = Path(__file__).with_name("coco_words.tsv")


def words(text: str) -> list[str]:
    """Return a text's words, lower case, without punctuation."""
    return re.findall(r"[a-z0-9]+", text.lower())


class NounFinder:
    """Finds the COCO names that a text mentions, by the table of words in `coco_words.tsv`.

    Each line of the table is a COCO name and the words that mean it. The longest words win: a «hot dog» is
    no dog, and under the name `-` stand phrases that mean none of them: «toilet paper».
    """

    def __init__(self, table: Path = TABLE) -> None:
        """Read the table."""
        self._names: dict[tuple[str, ...], str] = {}
        for line in table.read_text(encoding="utf-8").splitlines():
            name, _, phrases = line.partition("\t")
            for phrase in filter(words, [name, *phrases.split(",")]):
                for form in forms(tuple(words(phrase))):
                    self._names[form] = name
        self._longest = max(map(len, self._names))

    def find(self, text: str) -> set[str]:
        """Return the COCO names that a text mentions."""
        tokens = tuple(words(text))
        found: set[str] = set()
        position = 0
        while position < len(tokens):
            length = next((n for n in range(self._longest, 0, -1) if tokens[position : position + n] in self._names), 0)
            if length:
                found.add(self._names[tokens[position : position + length]])
            position += max(1, length)
        return found - {"-"}


def forms(phrase: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    """Yield a phrase in the singular and with its last word in the regular plural."""
    yield phrase
    last = phrase[-1]
    if last.endswith("y") and last[-2:-1] not in "aeiou":
        yield (*phrase[:-1], last[:-1] + "ies")
    elif last.endswith(("s", "x", "z", "ch", "sh")):
        yield (*phrase[:-1], last + "es")
    else:
        yield (*phrase[:-1], last + "s")


def chair(mentioned: Sequence[Collection[str]], present: Sequence[Collection[str]]) -> float:
    """Return CHAIR-i: the share of all names mentioned, a name once a photo, that are not in their photo."""
    wrong = sum(len(set(said) - set(there)) for said, there in zip(mentioned, present, strict=True))
    return wrong / max(1, sum(len(set(said)) for said in mentioned))


def rouge_l(text: str, references: Sequence[str]) -> float:
    """Return ROUGE-L, the F1 of the longest common subsequence of words; the best over the references."""
    return max(_rouge_l(words(text), words(reference)) for reference in references)


def _rouge_l(text: Sequence[str], reference: Sequence[str]) -> float:
    common = longest_common_subsequence(text, reference)
    return 2 * common / max(1, len(text) + len(reference))


def longest_common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Return its length; keeps one row of the usual table."""
    row = [0] * (len(b) + 1)
    for word in a:
        diagonal = 0
        for column, other in enumerate(b, start=1):
            above = row[column]
            row[column] = diagonal + 1 if word == other else max(above, row[column - 1])
            diagonal = above
    return row[-1]


def template(objects: Sequence[str], tags: Sequence[str]) -> Mapping[str, str]:
    """Return the texts of a baseline that just lists what was seen."""
    names = list(dict.fromkeys([*objects, *tags])) or ["nothing that was recognised"]
    listed = ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]
    return {"title": ", ".join(names[:3]), "description": f"A photo of {listed}.", "alt": listed}
