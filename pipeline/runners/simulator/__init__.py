"""Simulation of Vertex AI and Kubeflow: a compiled pipeline on this machine.

The containers' own commands run as processes, and a folder replaces the bucket. It is our own, because neither TFX nor
kfp can run a compiled PipelineSpec without a cluster.
"""
