"""``python -m flask_sluice`` is the command ``sluice``."""

import sys

from flask_sluice.cli import main

if __name__ == "__main__":
    sys.exit(main())
