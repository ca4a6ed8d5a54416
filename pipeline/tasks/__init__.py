"""The built-in tasks, one module with a `TASK` for each."""
