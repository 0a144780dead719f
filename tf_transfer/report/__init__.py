"""A run folder as HTML, Markdown, text and figures."""
