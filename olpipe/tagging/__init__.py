"""Usable tags: equal ones become one, words that say nothing go, and a vocabulary says how things are called."""
