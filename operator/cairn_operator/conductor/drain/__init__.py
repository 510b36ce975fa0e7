"""Draining hosts: everything is moved away, a few at a time, and the host shows how far that is.

`planning` decides, and is a pure function; `controller` carries it out.
"""
