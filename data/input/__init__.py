"""Stream the records of the shards as batches."""
