"""What stands around every request, whatever it asks for."""

BASE_PATH = "/torc-service/v1"
"""All routes are below it (torc wire 3)."""
