"""The gateway: one ASGI service for the OpenStack and EC2 APIs.

So far it serves its health only; `nova/`, `identity/`, `image/`, `network/`, `ec2/` and `consoles/` are
where those APIs will live. Anything else answers 404 with a body that says so.
"""
