"""Pages for those who run the hub."""
