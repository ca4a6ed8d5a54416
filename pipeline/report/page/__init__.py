"""The page of a run, `report.html`: one file that opens without a network."""
