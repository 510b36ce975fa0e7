"""Migration resources: what they ask for is begun, what becomes of it is shown, and old ones go.

`controller` runs it; `wishes` decides what a spec asks for now, `asking` carries that out, `projection` says
what the status shows, `making` makes the resources of moves that something else began.
"""
