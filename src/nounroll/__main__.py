"""``python -m nounroll``: the command ``nounroll``, where its script is not on the path."""

import sys

from nounroll.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
