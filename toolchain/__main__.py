"""`python -m toolchain` is `matting`."""

import sys

from toolchain.cli.main import main

sys.exit(main())
