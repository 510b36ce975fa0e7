"""A host does not make again what it has let go of."""

from __future__ import annotations

from pathlib import Path

from cairn_agent.let_go import KEPT_SECONDS, LetGo
from unit.agent.conftest import ID, NODE, Bench


async def test_a_late_order_for_a_machine_that_was_removed_is_not_followed(bench: Bench) -> None:
    bench.api.apply()
    await bench.look()
    bench.api.apply(absent=True)
    await bench.look()
    bench.api.finish_delete()
    await bench.look()
    bench.api.apply(absent=False)  # of the same epoch, from somebody who was held up
    await bench.look()
    assert await bench.driver.get(NODE, ID) is None
    assert bench.api.status["fault"]["reason"] == "Late"
    assert bench.api.status["fault"]["permanent"], "so it is built elsewhere, if at all"


async def test_a_newer_order_is_followed(bench: Bench) -> None:
    bench.api.apply(absent=True)
    await bench.look()
    bench.api.finish_delete()
    bench.api.apply(absent=False, fencingEpoch=2)
    await bench.look()
    assert await bench.driver.get(NODE, ID) is not None


def test_it_is_remembered_over_a_restart(tmp_path: Path) -> None:
    LetGo("h1", tmp_path).add("vm", 3)
    again = LetGo("h1", tmp_path)
    assert again.has("vm", 3)
    assert again.has("vm", 2)
    assert not again.has("vm", 4)
    assert not LetGo("h2", tmp_path).has("vm", 1)


def test_a_line_that_was_cut_short_is_no_harm(tmp_path: Path) -> None:
    LetGo("h1", tmp_path).add("vm", 3)
    with (tmp_path / "let-go-h1").open("a") as file:
        file.write("other 4")
    assert LetGo("h1", tmp_path).has("vm", 3)


def test_what_is_long_ago_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "let-go-h1"
    path.write_text(f"old 1 0\nnew 1 {KEPT_SECONDS * 1e6:.0f}\n")
    known = LetGo("h1", tmp_path)
    assert (known.has("old", 1), known.has("new", 1)) == (False, True)
    assert path.read_text().startswith("new 1 ")
