"""`python -m valley` is the `valley` command."""

from valley.cli import main

main()
