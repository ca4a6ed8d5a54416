"""Runs a compiled pipeline on this machine: the containers' own commands as processes, a folder as the bucket."""
