"""Identity v3: who is calling, and the API through which people, projects and roles are kept.

Two back ends (backend.py) stand behind `services.Identity`: the built-in one (builtin.py), whose people are
in SQL, and an external Keystone (keystone.py). The API below `/identity` is the built-in one's."""
