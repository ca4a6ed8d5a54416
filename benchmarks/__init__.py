"""Benchmarks of Skewless against its peers, in the same run. Each script prints its ratios as one line of JSON."""
