"""Mirrors: what instances refer to, taken into SQL and answered with a condition.

Each kind has a small module with one function, `mirror(context, object)`, that is idempotent and returns
what the status should say. `controller.py` runs them.
"""
