"""Local paths and remote URIs."""


def is_remote(path: str) -> bool:
    """Return whether a path is a URI such as `gs://bucket/folder`; otherwise it is local."""
    return "://" in path
