"""Simulation of Vertex AI and Kubeflow: a compiled pipeline on this machine.

The containers' own commands run as processes, and a folder replaces the bucket. The simulator is our own: TFX runs no
compiled PipelineSpec, and kfp 2.5, of the older family, runs one only on a cluster.
"""
