"""The `dagweave` command."""
