"""The agent's endpoint: what the control plane reads from a host, and hosts from each other.

HTTPS with a certificate that the agent signs itself and a token, both made at each start and told in the
node's Secret (`cairn_runtime/peers.py`); the other side is `cairn_runtime/agent_client.py`.

- `certificate.py`: the certificate
- `access.py`: whose machines a token opens
- `answers.py`: errors as JSON, limits
- `routes.py`: what can be asked for
- `streaming.py`: a disk's bytes
- `service.py`: listening, and telling where
"""
