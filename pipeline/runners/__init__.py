"""Runners of a pipeline: this machine, Vertex AI, Kubeflow, and a simulation of the latter two on this machine."""
