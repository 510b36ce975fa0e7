"""A whole Cairn on the fake driver."""
