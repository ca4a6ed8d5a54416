"""The gRPC server, its threads and its health service."""
