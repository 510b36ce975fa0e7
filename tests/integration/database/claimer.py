"""A scheduler as its own process: claims whatever waits until no host has room, and prints how often it won.

    python claimer.py URL SEED BATCH

Starts when it reads a line, so that several begin together.
"""

from __future__ import annotations

import asyncio
import random
import sys

from cairn_database import Database, claims, hosts, instances


async def claim_until_full(db: Database, seed: int, batch: int) -> int:
    """Claim for what waits, on hosts that seem to have room. Returns how many it won."""
    chance = random.Random(seed)
    won = 0
    while True:
        free = [host for host in await hosts.load_hosts(db) if host.vcpus_used < host.vcpus_limit]
        waiting = await instances.list_unscheduled(db, 200)
        if not free or not waiting:
            return won
        chosen = chance.sample(waiting, min(batch, len(waiting)))
        outcomes = await claims.claim_many(
            db,
            [
                claims.ClaimRequest(
                    record.id,
                    record.version,
                    chance.choice(free).name,
                    record.counted_vcpus,
                    record.counted_memory_mib,
                    1,
                )
                for record in chosen
            ],
        )
        won += sum(isinstance(outcome, claims.Claimed) for outcome in outcomes)


async def main(url: str, seed: int, batch: int) -> None:
    async with Database(url) as db:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        print(await claim_until_full(db, seed, batch), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
