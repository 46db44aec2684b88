"""Everything of the proxy that does I/O."""
