"""`python -m flux_actors` is the command `flux`."""

from flux_actors.cli.main import main

main()
