"""Who may do what: the rules of all APIs with their defaults, and the enforcer that decides by them."""
