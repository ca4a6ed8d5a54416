"""Name the cause of a skew."""
