"""Addresses: where servers are, and which of them may be reached."""
