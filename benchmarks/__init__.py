"""Side by side with the official packages and the bare tools: ratios, not times."""
