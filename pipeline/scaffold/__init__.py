"""Look at a folder of images and choose what `skewless new` writes."""
