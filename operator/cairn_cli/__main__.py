"""`python -m cairn_cli` is the `cairn` command."""

from cairn_cli.main import main

main()
