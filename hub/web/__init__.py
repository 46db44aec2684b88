"""The hub's own pages and its REST API."""
