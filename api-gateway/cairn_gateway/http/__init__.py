"""What every API of the gateway is made of: routes, calls and answers, faults, checked bodies, limits.

An API is a table of `Route`s (routes.py) in an `Api` (api.py), which is an ASGI application. For a request
it makes a `Call` (call.py), finds the route, asks who is calling (caller.py), checks the body (models.py) and
the route's policy rule, and awaits the handler, which returns an `Answer` or raises a `Fault` (faults.py).
"""
