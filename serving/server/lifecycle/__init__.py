"""Load, keep and unload the versions of models."""
