"""The wanted answer for a photo's evidence: title, description and alt text, each in its own style.

Answers follow captions, which are trimmed to what the evidence makes likely. Where no caption fits, the evidence itself
is put into plain words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence

from olpipe.perception.prompt import UNSURE, Thing, things
from olpipe.record import Evidence
from training import captions as registers
from training.agreement import OPENERS, STATES, agree, phrases, several, trim
from training.detector import HEIGHT, WIDTH
from training.known import Known, know
from training.photos import Photo, Photos, singular
from training.wording import AT, SETTINGS, article, headline, listing, placed, sentence, spoken

from caption_metrics import rouge_l  # isort: skip

LEAST_WORDS = 9
"""A description with fewer words also says what else was found."""

SHORT, SHORTEST = 28, 16
"""Characters. A description of fewer than `SHORTEST` says where in the photo its thing is.

So does one of at most `SHORT`, if it has nothing else to add.
"""

OFTEN = 0.1
"""What a thing does is said without a caption of the photo, if at least this share of all its captions says so."""

SELDOM, USUAL = 0.03, 0.18
"""How often a noun has to go with a thing that was found.

From `SELDOM` on, it may stay in a caption. From `USUAL` on, a noun that names a place may be added.
"""

WORDS_WANTED, SHORT_COST, NAMED_GAIN, LARGEST_GAIN = 12, 0.03, 0.08, 0.1
"""What a caption is worth: the words that it should have, the cost of each that it lacks, and two gains.

It gains for each thing that it names, and once more for the largest thing.
"""

FEWEST_TITLE_WORDS, MOST_OPENING, MOST_UNSURE = 4, 5, 4
"""Words: fewest of a caption's beginning as a title, most of it in an alt text.

The name of an unsure thing has to be shorter than `MOST_UNSURE` for a title to say its place, too.
"""

_LOCATED = re.compile(r" (in|on|at|near|down|by|above|over|under|through|behind|inside|along|outside) ")
_BROKEN = re.compile(r"\b(a|an|the) (a|an|the|and|on|in|of|with|is)\b|\b(is|are) (white|black|red|green|blue)\b")
_PLAIN = frozenset("side top front middle back background other group pair couple row".split())


class Answers:
    """Makes answers from captions and evidence."""

    def __init__(self, photos: Photos) -> None:
        """Use the nouns and the usual words of a file of captions."""
        self._photos = photos
        self._finder = photos.finder
        # Not said: the kinds of finer names have boxes already, and so has the person who is a `baseball player`.
        self._unsaid = {breed for breeds in photos.breeds.values() for breed in breeds} | {"baseball player"}

    def has_caption(self, photo: Photo, evidence: Evidence) -> bool:
        """Return whether the description follows one of the photo's captions."""
        return bool(self._texts(photo, evidence, know(evidence, self._unsaid)))

    def answer(self, photo: Photo, evidence: Evidence) -> dict[str, str]:
        """Return three different texts that say only what the evidence makes likely."""
        known = know(evidence, self._unsaid)
        if not known.things and not known.others and not known.scene:
            return nothing(known.time)
        if not known.sure:
            return _unsure(known, self._setting(known))
        texts = self._texts(photo, evidence, known)
        state = self._state(photo, known)
        description = self._description(texts, known, state)
        subject = self._subject(texts[0], known.things[0]) if texts and known.things else ""
        is_followed = bool(texts) and description.startswith(texts[0])
        return {
            "title": self._title(texts, known, description),
            "description": sentence(description),
            "alt": sentence(_alt(known, subject if is_followed else "", state, description)),
        }

    def _texts(self, photo: Photo, evidence: Evidence, known: Known) -> list[str]:
        """Return a photo's captions, trimmed and with the right numbers, best first."""
        # 1. What was found, and which nouns may be said because of it
        found = things(evidence, WIDTH, HEIGHT)
        counts = {thing.label: thing.count for thing in found if thing.is_sure}
        named = self._finder.find(" . ".join([*counts, *known.others]))
        may_be = {thing.label for thing in found if thing.is_large}
        allowed = self._allowed([*counts, *may_be, *(label.name for label in evidence.tags if label.score >= UNSURE)])
        nouns = self._photos.endings | self._photos.named
        # 2. Trim each caption, and keep those that say something, name only what was found, and count right
        texts: dict[str, float] = {}
        for caption in photo.clean:
            text = trim(caption, nouns, allowed)
            names = self._finder.find(text)
            if len(text.split()) < 2 or _BROKEN.search(text) or not names <= named | may_be:
                continue
            text = agree(text, {name: counts[name] for name in sorted(names) if name in counts}, self._photos.ones)
            if text and (names or not named):
                texts[text] = self._worth(text, names, photo, known)
        return sorted(texts, key=lambda text: (-texts[text], text))

    def _worth(self, text: str, names: Collection[str], photo: Photo, known: Known) -> float:
        """Return how good a text is: it agrees with other captions, is long enough, and names what is there."""
        others = [one for one in photo.captions if text not in one.lower()]
        agreement = rouge_l(text, others) if others else 0.5
        missing = max(0, WORDS_WANTED - len(text.split()))
        largest = bool(known.things) and known.things[0].label in names
        named = sum(thing.label in names for thing in known.things)
        return agreement - SHORT_COST * missing + NAMED_GAIN * named + LARGEST_GAIN * largest

    def _allowed(self, names: Sequence[str]) -> set[str]:
        """Return the nouns that may be said: the names found, nouns that often go with them, and a few plain words."""
        allowed = set(_PLAIN)
        for name in names:
            company = self._photos.likely.get(name, {})
            for word in [*name.split(), *(noun for noun, share in company.items() if share >= SELDOM)]:
                allowed |= {word, word + "s", word + "es", singular(word)}
            for one in self._photos.ones.get(name, ()):
                allowed.update(*(form.split() for form in (one, several(one))))
        return allowed

    def _state(self, photo: Photo, known: Known) -> str:
        """Return what the largest thing does: what at least two captions say, or else what such things usually do."""
        if not known.things:
            return ""
        usual = self._photos.states.get(known.things[0].label, {})
        said = Counter(word for text in photo.captions for word in {*re.findall("[a-z]+", text.lower())} & usual.keys())
        here = [word for word, count in said.items() if count >= 2 and known.things[0].label in photo.said]
        often = [word for word, share in usual.items() if share >= OFTEN]
        return max(here or often, key=lambda word: (said[word], usual[word], word), default="")

    def _description(self, texts: Sequence[str], known: Known, state: str) -> str:
        """Return the description: the best text or else the first thing found, with more until it is long enough."""
        # 1. Begin with the best text, if it names something that was found, or else with the first thing
        names = self._finder.find(texts[0]) if texts else set()
        if texts and (not known.things or any(thing.label in names for thing in known.things)):
            text = texts[0]
            rest = [spoken(thing) for thing in known.things if thing.label not in names]
            rest += [article(name) for name in known.others if name not in text]
        else:
            text, *rest = known.spoken
            if not known.count:
                return f"nothing but {text} could be recognised in this photo"
            text = f"{text} {state}".strip() if known.scene or not rest else text
        # 2. Add the place, unless the text has one
        is_located = bool(_LOCATED.search(text))
        scene = known.scene or ("" if is_located else self._setting(known))
        if scene and not _says(text, scene):
            text += f" {scene}"
        # 3. Add the time, and what else was found if the text is short
        tail = f" {known.time}" if known.time else ""
        if rest and len(text.split()) < LEAST_WORDS:
            tail += f", with {listing(rest[:2])}" if scene or is_located else f" with {listing(rest[:2])}"
        # 4. Add where in the photo the thing is if the text is still short
        if len(text + tail) < SHORTEST or not (rest or scene or len(text + tail) > SHORT):
            text += f" {known.where} of the photo" if known.things else " in the photo"
        return text + tail

    def _setting(self, known: Known) -> str:
        """Return where things like those found usually are: `in a bathroom`."""
        shares = {
            setting: max((self._photos.likely.get(thing.label, {}).get(noun, 0) for thing in known.things), default=0)
            for noun, setting in SETTINGS.items()
        }
        setting = max(shares, key=lambda one: (shares[one], one))
        return setting if shares[setting] >= USUAL else ""

    def _title(self, texts: Sequence[str], known: Known, description: str) -> str:
        """Return the best headline that a text gives, or one made from the evidence, with time or scene if they fit."""
        wanted = min(2, known.count)

        def worth(text: str) -> tuple[int, int, int]:
            names = self._finder.find(text)
            named = sum(thing.label in names for thing in known.things) + sum(name in text for name in known.others)
            return min(wanted, named), len(text.split()), -len(text)

        titles = [title for text in (*texts[1:], *texts[:1]) if (title := registers.title(text, self._photos.endings))]
        best = max(titles, key=worth, default="")
        if not best or worth(best)[0] < wanted or len(best.split()) < FEWEST_TITLE_WORDS or best.lower() == description:
            best = headline(known.heading)
        for addition in (known.time, known.scene):
            longer = f"{best} {addition}"
            if addition and not _says(best, addition) and len(longer.split()) <= registers.TITLE_WORDS:
                return longer if longer.lower() != description else best
        return best

    def _subject(self, text: str, thing: Thing) -> str:
        """Return how a text begins, as far as it is about this thing only: `two dogs sitting`; else an empty text."""
        first, *rest = (" ".join(phrase).replace("_", " ") for phrase in phrases(text)[:2])
        subject = f"{first} {rest[0]}" if rest and rest[0] in STATES else first
        if len(subject.split()) > MOST_OPENING or subject.split()[0] in OPENERS:
            return ""
        return subject if self._finder.find(subject) == {thing.label} else ""


def nothing(time: str = "") -> dict[str, str]:
    """Return the answer where nothing was found, except perhaps a time that the colours show."""
    photo = f"photo {time}".strip()
    return {
        "title": f"Unrecognised {photo}",
        "description": f"Nothing in this {photo} could be recognised with certainty.",
        "alt": f"A {photo} whose content was not recognised.",
    }


def _alt(known: Known, subject: str, state: str, description: str) -> str:
    """Return the alt text: everything with its place, the largest first."""
    parts = [(spoken(thing), thing.place) for thing in known.things]
    if parts:
        parts[0] = (subject or f"{parts[0][0]} {state}".strip(), parts[0][1])
    others = listing([article(name) for name in known.others]) if known.others else ""
    said = [placed(parts), f"with {others}" if parts and others else others, known.scene, known.time]
    alt = (", " if parts else " ").join(filter(None, said)) if known.count else f"nothing but {known.spoken[0]}"
    if alt != description:
        return alt
    return f"{alt} of the photo" if parts else f"{alt}, and nothing else"


def _unsure(known: Known, setting: str) -> dict[str, str]:
    """Return the answer where everything that was found is unsure."""
    name, where, time = known.spoken[0], known.where, known.time and f" {known.time}"
    place = setting or (f"{where} of the photo" if where else "in the photo")
    at = AT[known.things[0].place] if known.things else ""
    return {
        "title": f"Perhaps {name} {at}".strip() if len(name.split()) < MOST_UNSURE else f"Perhaps {name}",
        "description": sentence(f"perhaps {name} {place}{time}"),
        "alt": sentence(f"{where}, perhaps {name}{time}" if where else f"perhaps {name}, and nothing else{time}"),
    }


def _says(text: str, addition: str) -> bool:
    """Return whether a text already names a place or a time, in whatever words; the last word decides."""
    return addition.split()[-1] in text.lower().split()
