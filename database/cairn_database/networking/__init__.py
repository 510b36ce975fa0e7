"""Networks, ports, security groups and floating addresses: their tables and transactions."""
