"""Copy this plugin under a name of your own: `python copy_as.py NAME FOLDER`.

`python copy_as.py birds ~/olpipe-birds` makes the project `olpipe-birds` with the module `olpipe_birds`, announced as
the plugin `birds`. Nothing else is renamed.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

OWN = "template"
HERE = Path(__file__).parent
LEFT_BEHIND = ("copy_as.py", "__pycache__", "*.egg-info", "build", "dist", ".*")


def copy_as(name: str, folder: Path) -> None:
    """Copy the project into a folder that is not there yet, and rename it.

    Args:
        name: What the plugin is to be called: lower-case letters and digits, beginning with a letter.
        folder: Where the copy goes.

    Raises:
        SystemExit: The name cannot be one, or the folder exists.
    """
    if not re.fullmatch("[a-z][a-z0-9]*", name):
        raise SystemExit(f"error: `{name}` cannot be a plugin's name: use lower-case letters and digits")
    if folder.exists():
        raise SystemExit(f"error: `{folder}` exists already")
    shutil.copytree(HERE, folder, ignore=shutil.ignore_patterns(*LEFT_BEHIND))
    (folder / "src" / f"olpipe_{OWN}").rename(folder / "src" / f"olpipe_{name}")
    for path in folder.rglob("*"):
        if path.suffix in (".py", ".toml", ".md"):
            text = path.read_text(encoding="utf-8")
            text = re.sub(rf"olpipe([-_]){OWN}\b", rf"olpipe\g<1>{name}", text)
            path.write_text(re.sub(rf"(?<![\w.-]){OWN}(?!\w)", name, text), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(f"usage: python {sys.argv[0]} NAME FOLDER")
    copy_as(sys.argv[1], Path(sys.argv[2]).expanduser())
