"""`run.json` has the keys that the documentation lists, and no others."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/batch.md"
OPEN = {"failure_kinds", "perceivers", "versions"}  # what they hold depends on the run


def keys(value, before=""):
    """Return every key with those it stands under."""
    for key, item in value.items():
        if isinstance(item, dict) and key not in OPEN:
            yield from keys(item, f"{before}{key}.")
        else:
            yield before + key


def documented():
    section = PAGE.read_text(encoding="utf-8").partition("\n## The report\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([\w.]+)` \|", section, re.MULTILINE)


def test_every_key_of_the_report_is_documented_in_its_order(batch):
    batch.put("a.jpg")
    batch.put("bad.jpg", data=b"\xff\xd8\xff no photo")
    batch.run()
    assert batch.report["failure_kinds"] == {"unreadable": 1}
    assert list(keys(batch.report)) == documented()
