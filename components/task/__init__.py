"""The task: what a pipeline trains, and its settings."""
