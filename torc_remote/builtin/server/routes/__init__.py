"""The HTTP routes, one module a resource. They translate; what happens is in the modules above."""
