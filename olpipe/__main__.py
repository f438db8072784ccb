"""Run the command line as `python -m olpipe`."""

from __future__ import annotations

from olpipe.cli.main import main

if __name__ == "__main__":
    main()
