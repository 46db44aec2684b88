"""Notebooks run from top to bottom without a browser: runs, verifications, and what a kernel's memory hides."""
