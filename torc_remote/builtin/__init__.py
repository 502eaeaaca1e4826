"""The built-in engine: a small server and worker."""
