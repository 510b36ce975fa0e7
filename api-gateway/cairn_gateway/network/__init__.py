"""The Network API v2.0: what compute clients need of it, over Networks, SecurityGroups and the ports in SQL.

A Network resource is a network with its one IPv4 subnet; drafts, ports and floating addresses are rows.
"""
