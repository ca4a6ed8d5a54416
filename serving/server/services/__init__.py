"""The gRPC services of TF Serving."""
