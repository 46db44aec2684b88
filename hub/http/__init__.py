"""What every handler shares: the base handler, headers, the table of errors, safe redirects."""
