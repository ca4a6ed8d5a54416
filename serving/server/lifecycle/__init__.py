"""Load, keep and unload the versions of the models."""
