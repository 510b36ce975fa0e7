"""The `cairn` command: a subcommand per process, and the commands for people."""
