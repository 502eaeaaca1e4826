"""``python -m torc_remote.builtin.worker`` is the ``torc`` that hosts have."""

import sys

from .main import main

if __name__ == "__main__":
    sys.exit(main())
