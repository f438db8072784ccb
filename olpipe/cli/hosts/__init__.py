"""Who answers in `olpipe run`: the engine in this process, or a server."""
