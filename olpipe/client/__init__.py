"""A client of a running server: what the command line uses where there is one."""
