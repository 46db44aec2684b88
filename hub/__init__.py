"""The hub: the control plane of kernelhub. It owns the truth (the database) and every decision."""
