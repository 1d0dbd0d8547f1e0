"""Training loops: skorch, and nothing else that knows of it."""
