"""`python -m bench …` is `flux bench …`."""

from __future__ import annotations

import sys

from flux_actors.cli.main import app

if __name__ == "__main__":
    app(["bench", *sys.argv[1:]], prog_name="flux")
