"""Paths on this machine, and URIs elsewhere."""


def is_remote(path: str) -> bool:
    """Whether it is a URI, `gs://bucket/folder`, rather than a path on this machine."""
    return "://" in path
