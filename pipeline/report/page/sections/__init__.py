"""The sections of the page: each has a module that prepares what its template shows."""
