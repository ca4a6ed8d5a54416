"""Inspect a folder of pictures and choose what `skewless new` writes."""
