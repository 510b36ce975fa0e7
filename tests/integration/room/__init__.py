"""Guest networks, DHCP and images on one host."""
