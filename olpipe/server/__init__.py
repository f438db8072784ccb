"""The HTTP server: Ollama's API, OpenAI's and Anthropic's, and what olpipe adds to them."""
