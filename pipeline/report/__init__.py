"""What a run reports: on the terminal, as `run.json`, and as plots."""
