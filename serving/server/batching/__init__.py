"""Dynamic batching as in TensorFlow Serving: requests that wait at the same time run as one batch."""
