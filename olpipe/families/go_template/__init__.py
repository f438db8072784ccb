"""Chat templates in the language of Go's library `text/template`, in which Ollama's models have theirs.

Source: https://pkg.go.dev/text/template
"""
