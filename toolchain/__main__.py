"""`python -m toolchain` is `matting`."""

import sys

from toolchain.cli.matting import main

sys.exit(main())
