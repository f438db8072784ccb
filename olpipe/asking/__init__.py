"""Requests as `run`, an interactive session and a server send them: what a person wished for, made complete."""
