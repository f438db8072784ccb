"""Measure what a vocabulary of ten thousand terms costs: to read it, to compile it, to decode under it, to map to it.

    python benchmarks/vocabulary.py [--terms 10000] [--language zh-Hans] [--repeats 20]

Both arms replay the same document with `photo-mini`: twelve tags that are terms, and a title. In the arm `free` a tag
is any text of up to 40 characters. In the arm `closed` it is one of the terms. *Lazy* computes a mask only where the
model's own choice is not allowed, as olpipe does. Since a replay is always allowed, that is the least that a grammar
can cost. *Eager* computes a mask for every token, which is the most. The arms take turns, and figures are medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice, product
from pathlib import Path

from decoding import interleave, photo_mini
from decoding_arms import Bench, Outcome

from olpipe.describing.recipe_file import parse_recipe
from olpipe.generation import Guidance
from olpipe.guidance.grammar import Grammars
from olpipe.guidance.validate import validate
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.tagging.settings import Mode, Tagging
from olpipe.tagging.tagger import Tagger
from olpipe.tagging.vocabulary_file import read_vocabulary

TAGS = 12
KINDS = {
    "en": ("", "red ", "old ", "small ", "large ", "wooden ", "wild ", "young ", "broken ", "painted "),
    "zh-Hans": ("", "红色", "旧", "小", "大", "木制", "野生", "年轻", "破损", "彩绘"),
}
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["tags", "title"],
    "properties": {
        "tags": {"type": "array", "maxItems": TAGS, "items": {"type": "string", "minLength": 1, "maxLength": 40}},
        "title": {"type": "string", "minLength": 1, "maxLength": 80},
    },
}
TITLE = "Two brown dogs chase a red ball across a green lawn in the park"


class VocabularyBench(Bench):
    """One model, loaded once for both arms."""

    def __init__(self, package: Path, threads: int, tags: list[str]) -> None:
        super().__init__(package, threads)
        text = json.dumps({"tags": tags, "title": TITLE}, ensure_ascii=False, separators=(",", ":"))
        self.document = self.vocabulary.encode(text)
        self.text = text

    def compile_seconds(self, guidance: Guidance) -> Outcome:
        started = time.perf_counter()
        Grammars(self.vocabulary.tokenizer).matcher(guidance)
        return Outcome(time.perf_counter() - started, 1, 0)

    def replay_under(self, guidance: Guidance, *, lazy: bool) -> Outcome:
        self.guidance = guidance
        return self.replay(lazy=lazy)


def terms(count: int, language: str) -> list[str]:
    """Return terms made of the names that `photo-mini` knows, with words before them."""
    perceiver = Plugins.load(Settings.read()).perceivers.get("photo-mini")
    names = perceiver.translations()["zh-Hans"]
    known = list(names) if language == "en" else [names[name] for name in names]
    made = dict.fromkeys(f"{kind}{name}" for kind, name in product(KINDS[language], known))
    return list(islice(made, count))


def tell(what: str, arms: Mapping[str, Callable[[], Outcome]], repeats: int) -> None:
    """Print medians of both arms, and the median of their ratios, repeat by repeat."""
    found = interleave(dict(arms), repeats)
    free, closed = ([outcome.seconds for outcome in found[name]] for name in ("free", "closed"))
    ratio = statistics.median(one / other for one, other in zip(closed, free, strict=True))
    figures = [1e3 * statistics.median(seconds) for seconds in (free, closed)]
    forwards = "/".join(str(found[name][-1].forwards) for name in ("free", "closed"))
    print(f"| {what} | {figures[0]:.2f} | {figures[1]:.2f} | {ratio:.2f} | {forwards} |")


def timed(call: Callable[[], object], repeats: int) -> str:
    """Return how long a call takes, in milliseconds."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return f"{1e3 * statistics.median(seconds):.2f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--terms", type=int, default=10_000)
    parser.add_argument("--language", choices=sorted(KINDS), default="en")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    listed = terms(options.terms, options.language)
    tags = listed[3 :: len(listed) // TAGS][:TAGS]
    bench = VocabularyBench(photo_mini(), options.threads, tags)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "terms.txt"
        path.write_text("\n".join(listed), encoding="utf-8")
        reading = timed(partial(read_vocabulary, path, "terms.txt"), 1)  # the same text is not read twice
        vocabulary = read_vocabulary(path, "terms.txt")
    tagging = Tagging(vocabulary, Mode.CLOSED, "terms.txt")
    table = {"name": "a", "task": "photo", "model": "m", "prompt": "p", "schema": SCHEMA, "language": options.language}
    recipe = parse_recipe(table).override(tagging=tagging)
    free, closed = (Guidance("json_schema", json.dumps(schema)) for schema in (SCHEMA, recipe.context().schema))
    print(
        f"{len(vocabulary.terms)} terms in {options.language}, {options.threads} threads; {len(bench.document)} tokens"
    )
    print("| | free, ms | closed, ms | ratio | forwards |\n|---|---|---|---|---|")
    arms = {"free": free, "closed": closed}
    tell("compile", {name: partial(bench.compile_seconds, one) for name, one in arms.items()}, 5)
    for what, lazy in (("decode, lazy", True), ("decode, eager", False)):
        each = {name: partial(bench.replay_under, one, lazy=lazy) for name, one in arms.items()}
        tell(what, each, options.repeats)
    judged = {name: partial(judge_seconds, one, bench.text) for name, one in arms.items()}
    tell("judge the document", judged, options.repeats)
    print(f"read the file: {reading}")
    tagger = Tagger(tagging, options.language)
    print(f"index the terms: {timed(partial(Tagger, tagging, options.language), 5)}", end="; ")
    print(f"map the tags of a record: {timed(lambda: tagger.values({'tags': tags}, None), 20)}")


def judge_seconds(guidance: Guidance, text: str) -> Outcome:
    """Judge a document by a schema, and return how long that took."""
    started = time.perf_counter()
    validate(guidance.source, text)
    return Outcome(time.perf_counter() - started, 1, 0)


if __name__ == "__main__":
    main()
