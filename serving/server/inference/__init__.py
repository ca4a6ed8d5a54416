"""Predict, Classify, Regress, MultiInference and GetModelMetadata on a loaded model, and its warm-up."""
