"""Tasks of the tests."""
