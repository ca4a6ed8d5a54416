"""Flags and configuration files of the server."""
