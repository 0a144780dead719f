"""One importance weight per source example, and the scores behind it."""
