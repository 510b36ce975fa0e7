"""The story of a move, as the Instance's events tell it: a pure function of the step that is taken."""

from __future__ import annotations

from cairn_database import InstanceRecord
from cairn_database.records import Move, MoveKind
from cairn_database.steps import Step

Told = tuple[str, str]
"""An event's reason and message."""


def story_of(before: InstanceRecord, step: Step) -> Told | None:
    """What to tell of `step`, taken by the instance `before`; None where it is no step of a move, or none
    that went as it should."""
    move = before.move
    if move is None or step.migration is None or step.error is not None:
        return None
    told = _LIVE if move.kind is MoveKind.LIVE else _EVACUATION if move.kind is MoveKind.EVACUATION else _COLD
    if move.stays:
        told = _STAYS
    found = told.get(step.migration)
    return None if found is None else (found[0], found[1].format(**_words(move)))


def _words(move: Move) -> dict[str, str]:
    flavor = move.new_flavor["name"] if move.new_flavor else None
    return {
        "source": move.source or "",
        "destination": move.destination or "",
        "what": f"resize to flavor {flavor}" if flavor else "cold migration",
        "flavor": str(flavor or ""),
        "old_flavor": str(move.old_flavor["name"]) if move.old_flavor else "",
        "next": "It is confirmed by itself."
        if move.confirms
        else "Set spec.decision of its Migration to Confirm, or to Revert.",
    }


_LIVE = {
    "preparing": ("Migrating", "Live migration from host {source} to host {destination} begins."),
    "running": (
        "Migrating",
        "Host {destination} is prepared; memory and disks are copied from host {source} while it runs.",
    ),
    "completed": ("Migrated", "It runs on host {destination} now; host {source} has nothing of it any more."),
}
_COLD = {
    "migrating": (
        "Migrating",
        "A {what} begins: it is shut down on host {source} and goes to host {destination}.",
    ),
    "post-migrating": ("Migrating", "It is off; host {destination} fetches its disks from host {source}."),
    "finished": (
        "Migrated",
        "It is on host {destination} now; host {source} keeps what it had. {next}",
    ),
    "confirmed": ("MoveConfirmed", "It stays on host {destination}; what host {source} kept has gone."),
    "reverted": ("MoveReverted", "It is back on host {source}, as it was."),
}
_STAYS = {
    "migrating": ("Resizing", "A {what} begins, on host {source}."),
    "finished": ("Resized", "It has flavor {flavor} now, on the same host. {next}"),
    "confirmed": ("MoveConfirmed", "It keeps flavor {flavor}."),
    "reverted": ("MoveReverted", "It has flavor {old_flavor} again."),
}
_EVACUATION = {
    "migrating": ("Evacuating", "Host {source} is lost: it is made anew on host {destination}."),
    "done": ("Evacuated", "It is on host {destination} now. When host {source} is back, what it had goes."),
}
