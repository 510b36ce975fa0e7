"""Every action of the Compute API, from the request to the machine."""
