"""The annotations dock: which annotations may be trusted, and its undo."""
