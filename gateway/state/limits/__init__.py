"""Stores of limits: in process, shared, and guarded against the shared one's absence."""
