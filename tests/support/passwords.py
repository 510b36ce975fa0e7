"""What a password costs in the clouds of tests: next to nothing, as each test signs in many times.

What it costs elsewhere is tested where it is made (tests/unit/gateway/identity/test_passwords.py).
"""

from __future__ import annotations

from cairn_gateway.identity.settings import IdentitySettings

CHEAP_PASSWORDS = IdentitySettings(password_memory_kib=64, password_passes=1)
ENVIRONMENT = {
    f"CAIRN_IDENTITY__{name.upper()}": str(value)
    for name, value in CHEAP_PASSWORDS.model_dump(exclude_unset=True).items()
}
"""The same for processes."""
