"""Count how much of JSON Schema is enforced: python benchmarks/schema_coverage.py FOLDER [--refusals]

FOLDER holds JSON files: schemas as they are, cases like {"schema": …, "valid": […], "invalid": […]}, or files of
the JSON Schema Test Suite. For each file it counts the schemas that compile into a grammar, and what happens to their
instances. Valid instances are accepted by the grammar or not. (A wire schema allows only a part of what was asked, so
not all need be accepted.) Invalid instances are refused by the grammar, are refused or put right after decoding, or are
let through. The last must not happen.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import llguidance

from olpipe.errors import InvalidOutput, SchemaError
from olpipe.generation import Guidance
from olpipe.guidance.grammar import Grammars
from olpipe.guidance.schema import check_schema
from olpipe.guidance.validate import validate

COLUMNS = (
    "schemas",
    "compiled",
    "no document",
    "refused",
    "valid",
    "accepted",
    "invalid",
    "by grammar",
    "after",
    "through",
)


@dataclass(slots=True)
class Case:
    """A schema with instances of which is known whether they are valid."""

    schema: Any
    valid: list[Any] = field(default_factory=list)
    invalid: list[Any] = field(default_factory=list)


class Coverage:
    """Counts over schemas, with the reasons of refusals."""

    def __init__(self) -> None:
        self.tokenizer = llguidance.LLTokenizer("byte")
        self.grammars = Grammars(self.tokenizer)
        self.refusals: list[str] = []
        self.slowest_s = 0.0

    def count(self, case: Case) -> Counter[str]:
        """Return the counts of one schema and its instances."""
        counts = Counter({"schemas": 1})
        source = json.dumps(case.schema)
        started = time.perf_counter()
        try:
            check_schema(source)
            self.grammars.matcher(Guidance("json_schema", source))
        except SchemaError as error:
            empty = error.message.startswith("no document satisfies")
            counts["no document" if empty and not case.valid else "refused"] += 1
            if not (empty and not case.valid):
                self.refusals.append(error.message)
            return counts
        finally:
            self.slowest_s = max(self.slowest_s, time.perf_counter() - started)
        counts["compiled"] += 1
        counts["valid"] += len(case.valid)
        counts["accepted"] += sum(self.accepts(source, value) for value in case.valid)
        for value in case.invalid:
            counts["invalid"] += 1
            counts[self.fate(source, value)] += 1
        return counts

    def fate(self, source: str, value: Any) -> str:
        """Return what became of an invalid instance."""
        if not self.accepts(source, value):
            return "by grammar"
        try:
            right = validate(source, json.dumps(value))
        except InvalidOutput:
            return "after"
        return "through" if json.dumps(right) == json.dumps(value) else "after"

    def accepts(self, source: str, value: Any) -> bool:
        """Say whether the grammar accepts a document, its names as they are or in the order of the schema's text."""
        return any(self.takes(source, order) for order in (value, arranged(value, source)))

    def takes(self, source: str, value: Any) -> bool:
        """Say whether the grammar accepts a document, names in this order."""
        matcher = self.grammars.matcher(Guidance("json_schema", source))
        data = list(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))
        return bool(matcher.try_consume_tokens(data) == len(data) and matcher.is_accepting())


def arranged(value: Any, source: str) -> Any:
    """Return a document with the names of its objects in the order of a schema's text."""
    if isinstance(value, list):
        return [arranged(part, source) for part in value]
    if isinstance(value, dict):
        order = sorted(value, key=lambda name: source.find(f"{json.dumps(name)}: {{"))
        return {name: arranged(value[name], source) for name in order}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def cases(path: Path) -> Iterator[Case]:
    """Yield the schemas of a file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(content, list):
        for group in content:
            tests = group.get("tests", ())
            valid = [test["data"] for test in tests if test["valid"]]
            yield Case(group["schema"], valid, [test["data"] for test in tests if not test["valid"]])
    elif "schema" in content and {"valid", "invalid"} & content.keys():
        yield Case(content["schema"], content.get("valid", []), content.get("invalid", []))
    else:
        yield Case(content)


def main() -> int:
    """Print the table; the exit status says whether an invalid instance was let through."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--refusals", action="store_true", help="print why schemas were refused")
    arguments = parser.parse_args()
    coverage, total = Coverage(), Counter[str]()
    width = max(len(path.name) for path in arguments.folder.glob("*.json"))
    print(" " * width, *(f"{column:>11}" for column in COLUMNS))
    for path in sorted(arguments.folder.glob("*.json")):
        counts: Counter[str] = sum(map(coverage.count, cases(path)), Counter())
        total += counts
        print(f"{path.name:{width}}", *(f"{counts[column]:11}" for column in COLUMNS))
    print(f"{'all':{width}}", *(f"{total[column]:11}" for column in COLUMNS))
    print(f"slowest schema: {coverage.slowest_s:.2f} s")
    if arguments.refusals:
        print(*sorted(coverage.refusals), sep="\n")
    return 1 if total["through"] else 0


if __name__ == "__main__":
    sys.exit(main())
