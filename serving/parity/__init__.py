"""Prove that every route to a model gives the same answers."""
