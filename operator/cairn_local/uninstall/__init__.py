"""`cairn uninstall`: takes Cairn out of a cluster, and leaves every guest running on its host."""
