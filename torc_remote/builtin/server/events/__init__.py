"""What happened to workflows."""
