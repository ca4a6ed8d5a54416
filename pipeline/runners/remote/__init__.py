"""Runs of compiled files on Vertex AI and Kubeflow: submit, watch, cancel."""
