"""Copy this plugin under a name of your own: `python copy_as.py NAME FOLDER`.

`python copy_as.py birds ~/olpipe-birds` makes the project `olpipe-birds` with the module `olpipe_birds`, announced as
the plugin `birds`. Nothing else is renamed. The copy has a README of its own, which says how to go on.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

OWN = "template"
HERE = Path(__file__).parent
LEFT_BEHIND = ("copy_as.py", "README.md", "__pycache__", "*.egg-info", "build", "dist", ".*")
OWN_README = "copy_readme.md"


def copy_as(name: str, folder: Path) -> None:
    """Copy the project into a folder that is not there yet, and rename it.

    Args:
        name: What the plugin is to be called: lower-case letters and digits, with hyphens between them.
        folder: Where the copy goes.

    Raises:
        SystemExit: The name cannot be one, or the folder exists.
    """
    if not re.fullmatch("[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        rule = "use lower-case letters and digits, with hyphens between them, and begin with a letter"
        raise SystemExit(f"error: `{name}` cannot be a plugin's name: {rule}")
    if folder.exists():
        raise SystemExit(f"error: `{folder}` exists already")
    module = f"olpipe_{name.replace('-', '_')}"  # no name of Python has a hyphen
    shutil.copytree(HERE, folder, ignore=shutil.ignore_patterns(*LEFT_BEHIND))
    (folder / OWN_README).rename(folder / "README.md")
    (folder / "src" / f"olpipe_{OWN}").rename(folder / "src" / module)
    for path in folder.rglob("*"):
        if path.suffix in (".py", ".toml", ".md"):
            text = path.read_text(encoding="utf-8")
            text = re.sub(rf"olpipe_{OWN}\b", module, text)
            text = re.sub(rf"olpipe-{OWN}\b", f"olpipe-{name}", text)
            text = re.sub(r'^description = ".*"$', 'description = "A plugin for olpipe"', text, flags=re.MULTILINE)
            path.write_text(re.sub(rf"(?<![\w.-]){OWN}(?!\w)", name, text), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(f"usage: python {sys.argv[0]} NAME FOLDER")
    copy_as(sys.argv[1], Path(sys.argv[2]).expanduser())
