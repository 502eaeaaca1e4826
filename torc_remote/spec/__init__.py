"""Workflow specification files."""
