"""The built-in worker: standard library only, Python 3.8 syntax, so that a host runs it as one file."""
