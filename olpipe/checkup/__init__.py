"""Examine what a model and this machine can really do."""
