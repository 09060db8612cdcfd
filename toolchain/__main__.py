"""`python -m toolchain` runs `matting`."""

import sys

from toolchain.cli.main import main

sys.exit(main())
