"""The operator: `conductor/` drives instances, `scheduler/` places them, `mirrors/` takes in the rest."""
