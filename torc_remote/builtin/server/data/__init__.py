"""Files and user data."""
