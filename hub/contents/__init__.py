"""Files beneath a user's home, nowhere else."""

import sys

# nbformat imports jsonschema, which imports this package where it is installed, and that builds a grammar for
# 0.9 s; it checks IRIs, of which a notebook has none. jsonschema does without it, so the hub starts at once.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
