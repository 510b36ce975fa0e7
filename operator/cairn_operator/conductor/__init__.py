"""The conductor: drives every instance from what the user wants to what runs.

A boot, read in order: `phases.py` (the list of phases; `binding.py` and `showing.py` have the first and the
last of them), each phase's decisions in `resolve.py` (are the references there?), `guest_spec.py` (what the
host is told), `outcome.py` (what the host's answer means), `projection.py` (what the user is shown).
`reconciler.py` runs the phases, `sweep.py` finds what no event told of, `shards.py` shares the instances
between replicas, `app.py` is the process.
"""
