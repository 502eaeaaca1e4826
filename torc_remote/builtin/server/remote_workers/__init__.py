"""The addresses of the machines on which workers run."""
