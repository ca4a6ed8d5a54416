"""Read a SavedModel's graph, and check it without running it."""
