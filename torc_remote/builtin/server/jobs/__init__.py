"""Jobs: records, dependencies, claims, attempts."""
