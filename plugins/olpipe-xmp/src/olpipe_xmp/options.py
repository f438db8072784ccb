"""What follows the colon of a sink: a folder, and options behind commas."""

from __future__ import annotations

from dataclasses import dataclass, replace

from olpipe.errors import UsageError

APPEND, KEEP, REPLACE = "append", "keep", "replace"

_ALLOWED = {
    "tags": (APPEND, KEEP, REPLACE),
    "texts": (KEEP, APPEND, REPLACE),
    "regions": ("iptc", "all", "off"),
}


@dataclass(frozen=True, slots=True)
class Options:
    """How values go to what is there already.

    Attributes:
        tags: `append` adds tags to somebody's own, `keep` adds none where there are some, and `replace` removes them.
        texts: `keep` leaves a text of somebody's own, `append` adds the languages that it lacks, and `replace` replaces
            it.
        regions: `iptc` writes regions of IPTC, `all` those of the Metadata Working Group too, and `off` none.
    """

    tags: str = APPEND
    texts: str = KEEP
    regions: str = "iptc"


def parse_target(target: str, usual: str) -> tuple[str, Options]:
    """Return the folder that a target names, and the options.

    Args:
        target: Like `FOLDER`, `FOLDER,tags=replace` or `tags=replace,texts=append`.
        usual: The folder where none is named.

    Raises:
        UsageError: An option has a value that it cannot have.
    """
    options, folder = Options(), []
    for part in target.split(","):
        key, equals, value = part.partition("=")
        if not equals or key not in _ALLOWED:
            folder.append(part)
        elif value not in _ALLOWED[key]:
            allowed = ", ".join(f"`{one}`" for one in _ALLOWED[key])
            raise UsageError(f"`{part}` is no option of this sink", hint=f"`{key}` is one of {allowed}")
        else:
            options = replace(options, **{key: value})
    return ",".join(folder) or usual, options
