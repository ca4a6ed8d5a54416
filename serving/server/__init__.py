"""A model server that stands in for TensorFlow Serving: the same protocol, flags and texts."""

REFERENCE = "2.20.0"
"""Release of TensorFlow Serving that this server imitates; its sources of July 2026 (9d981c5) still answer the same."""
