"""Check that every route to a model gives the same answers, and report the verdict."""
