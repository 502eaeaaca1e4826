"""Compute nodes: the workers that have registered."""
