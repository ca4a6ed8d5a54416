"""Runs of compiled files on Vertex AI and on Kubeflow: started, watched, stopped."""
