"""Compilation of a pipeline for Vertex AI and Kubeflow Pipelines."""
