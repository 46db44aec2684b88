"""The Jupyter Server REST API and the front ends, for all users, from one process."""
