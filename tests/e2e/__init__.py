"""End to end: `cairn up`, kubectl, and real guests."""
