"""Questions as vectors: the bundled MiniLM, or any deployment that embeds."""
