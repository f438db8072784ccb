"""The conversation with a model that `olpipe run MODEL` starts on a terminal."""
