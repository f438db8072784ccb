"""Completion: what bash, zsh and fish offer when somebody presses Tab behind `olpipe`."""
