"""A model server that stands in for TensorFlow Serving: same protocol, same flags, same texts."""

REFERENCE = "2.20.0"
"""The release of TensorFlow Serving that it answers like, as its sources of July 2026 (9d981c5) still do."""
