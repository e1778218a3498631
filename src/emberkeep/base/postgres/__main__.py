"""The supervisor's process: `python -m emberkeep.base.postgres`, which only `lease` starts."""

import sys

from emberkeep.base.postgres.supervisor import main

sys.exit(main(sys.argv[1:]))
