"""Check a batch's output against the photos and the published schema: `python .ci/check_records.py OUT PHOTOS`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jsonschema


def main(output: str, photos: str) -> int:
    """Print each record's title; fail when a photo has none, or a record does not fit."""
    schema = json.loads(Path("docs/record.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    lines = Path(output, "records.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    for record in records:
        validator.validate(record)
        print(f"{record['file']}: {record.get('title', 'no title')}")
    described, given = sorted(record["file"] for record in records), sorted(p.name for p in Path(photos).glob("*.jpg"))
    if described != given:
        print(f"error: {len(records)} records for {len(given)} photos", file=sys.stderr)
        return 1
    print(f"{len(records)} photos, one valid record each")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
