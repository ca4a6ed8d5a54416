"""Image files: formats, headers, decoding in the graph, validation."""
