"""Fail when a test of the real model did not run: `python .ci/real_model_tests.py JUNIT.xml...`.

A machine that cannot have the model would otherwise pass all tests but those that matter most.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from xml.etree import ElementTree


def main(reports: Sequence[str]) -> int:
    """Read pytest's reports and say how many tests used the model."""
    cases = [case for report in reports for case in ElementTree.parse(report).iter("testcase")]
    real = [case for case in cases if case.find("properties/property[@name='real_model']") is not None]
    skipped = [f"{case.get('classname')}::{case.get('name')}" for case in real if case.find("skipped") is not None]
    for name in skipped:
        print(f"error: {name} was skipped", file=sys.stderr)
    if not real:
        print("error: no test used the real model", file=sys.stderr)
    print(f"{len(real)} tests used the real model, {len(skipped)} of them were skipped")
    return 1 if skipped or not real else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
