"""The deployment layer: a workflow's workers become an inventory, an operation becomes a play, answers a report."""
