"""Bring files over the network: checked connections, parts over several of them, and patience."""
