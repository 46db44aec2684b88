"""Wire types shared by hub and proxy. The hub may import these; the proxy never imports the hub."""
