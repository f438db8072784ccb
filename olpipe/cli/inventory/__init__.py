"""The models that commands list, change and move: those of this machine, or those of a server."""
