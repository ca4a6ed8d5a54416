"""Build and describe Keras models."""
