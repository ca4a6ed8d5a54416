"""Read, list, fetch and copy files, on a disk or in a bucket."""
