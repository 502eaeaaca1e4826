"""Workflows: records, life cycle, summary."""
