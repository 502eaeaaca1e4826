"""What jobs need of a machine."""
