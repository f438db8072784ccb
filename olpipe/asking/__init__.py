"""Requests as `run` and a server make them: a person's wishes, completed by the model's and the usual values."""
