"""`python -m ssl4rl_bench.lmms`: see `ssl4rl_bench.interop.lmms.__main__`."""

import sys

from ssl4rl_bench.interop.lmms.__main__ import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
