"""Images before framing: of any size and type, perhaps still encoded."""
