"""The fault harness: the real processes in a world whose every mishap is drawn from a seed."""
