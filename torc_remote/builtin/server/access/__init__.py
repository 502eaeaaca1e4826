"""Who asks, and what workers may ask."""
