"""The REST API: the same requests and answers as over gRPC, as JSON over HTTP."""
