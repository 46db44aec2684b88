"""Starts the agent: ``python3 -I <folder of the installed program>`` or ``python3 -m hub.agent``."""

import sys

try:
    from hub.agent.main import main
except ImportError as missing:
    print(f"The image cannot run the agent ({missing}); install ipykernel in it.", file=sys.stderr)
    sys.exit(3)

if __name__ == "__main__":
    sys.exit(main())
