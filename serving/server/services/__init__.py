"""The gRPC services of TensorFlow Serving, and the answers that REST shares with them."""
