"""The parts of `ImageTable`: its files, paths and splits, the scan of its rows, and how they are read."""
