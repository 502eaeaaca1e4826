"""The HTTP routes, one module a resource. They translate; what happens is in the modules above."""

BASE_PATH = "/torc-service/v1"
"""All routes are below it (torc wire 3)."""
