"""Taking Cairn out of a cluster, on a control plane of its own."""
