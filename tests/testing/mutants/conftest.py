"""Let the modules here import each other. Nothing here is collected but by `test_mutants.py`, one floor up."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
