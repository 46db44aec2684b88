"""Starts the agent: ``python3 -I <folder of the installed program>`` or ``python3 -m hub.agent``.

With an argument, one of its programs: see `hub.agent.programs`.
"""

import sys

try:
    from hub.agent.main import main
    from hub.agent.programs.start import run
except ImportError as missing:
    print(f"The image cannot run the agent ({missing}); install ipykernel in it.", file=sys.stderr)
    sys.exit(3)

if __name__ == "__main__":
    sys.exit(run(sys.argv[1]) if len(sys.argv) == 2 else main())
