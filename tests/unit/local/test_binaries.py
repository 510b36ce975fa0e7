"""Where a control plane's programs come from, and in which order."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from cairn_local.control_plane import binaries
from cairn_local.control_plane.binaries import (
    ControlPlaneUnavailable,
    ExistingCluster,
    cache_directory,
    ensure_cached,
    find_binaries,
    find_cached,
    find_control_plane,
)
from cairn_local.control_plane.source_build import (
    RECIPE,
    BuildError,
    Edit,
    Progress,
    Recipe,
    _upstream_version,
    apply_edit,
)

SERVERS = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")


def programs(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        program = folder / name
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A cache with a finished build, and nothing on PATH."""
    cache = tmp_path / "cache"
    programs(cache / f"cairn/kubernetes/1.2.3-{RECIPE.hash}", *SERVERS)
    return {"XDG_CACHE_HOME": str(cache), "PATH": str(programs(tmp_path / "empty"))}


def fake_build(work: Path, output: Path, progress: Progress, recipe: Recipe = RECIPE) -> str:
    with (work.parent / "builds").open("a") as builds:
        builds.write("built\n")
    time.sleep(0.3)
    programs(output, *recipe.programs)
    return "9.9.9"


def test_assets_come_before_path(environment: dict[str, str], tmp_path: Path) -> None:
    assets = programs(tmp_path / "assets", "etcd", "kube-apiserver", "kubectl")
    path = programs(tmp_path / "path", *SERVERS)
    environment |= {"KUBEBUILDER_ASSETS": str(assets), "PATH": str(path)}
    found = find_binaries(environment=environment)
    assert (found.etcd, found.kube_apiserver) == (assets / "etcd", assets / "kube-apiserver")
    assert found.kube_controller_manager == path / "kube-controller-manager", "assets need not hold one"
    assert found.origin == "KUBEBUILDER_ASSETS"


def test_assets_without_a_controller_manager_take_the_cached_one(
    environment: dict[str, str], tmp_path: Path
) -> None:
    environment["KUBEBUILDER_ASSETS"] = str(programs(tmp_path / "assets", "etcd", "kube-apiserver"))
    cached = find_cached(cache_directory(environment))
    assert cached
    found = find_binaries(environment=environment)
    assert found.kube_controller_manager == cached / "kube-controller-manager"
    assert found.kubectl == cached / "kubectl"


def test_assets_that_lack_a_server_are_an_error_and_not_passed_over(
    environment: dict[str, str], tmp_path: Path
) -> None:
    environment["KUBEBUILDER_ASSETS"] = str(programs(tmp_path / "assets", "etcd"))
    with pytest.raises(ControlPlaneUnavailable, match="no kube-apiserver"):
        find_binaries(environment=environment)


def test_path_comes_before_the_cache(environment: dict[str, str], tmp_path: Path) -> None:
    environment["PATH"] = str(programs(tmp_path / "path", "etcd", "kube-apiserver"))
    found = find_binaries(environment=environment)
    assert found.kube_apiserver == tmp_path / "path/kube-apiserver"
    assert found.origin == "PATH"


def test_half_a_control_plane_on_path_is_left_alone(environment: dict[str, str], tmp_path: Path) -> None:
    environment["PATH"] = str(programs(tmp_path / "path", "etcd", "kubectl"))
    found = find_binaries(environment=environment)
    assert found.etcd.parent == found.kube_apiserver.parent == find_cached(cache_directory(environment))
    assert found.kubectl == tmp_path / "path/kubectl", "the machine's own kubectl wins"


def test_an_incomplete_build_does_not_count(environment: dict[str, str]) -> None:
    cached = find_cached(cache_directory(environment))
    assert cached
    (cached / "kube-controller-manager").unlink()
    assert find_cached(cache_directory(environment)) is None


def test_another_recipe_is_another_build(environment: dict[str, str]) -> None:
    assert find_cached(cache_directory(environment), Recipe(revision=RECIPE.revision + 1)) is None


def _ensure(environment: Mapping[str, str], results: multiprocessing.Queue[str]) -> None:
    setattr(binaries, "build", fake_build)  # noqa: B010 - in a process of its own
    results.put(str(ensure_cached(environment=environment)))


def test_builders_at_once_make_one_build(tmp_path: Path) -> None:
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    context = multiprocessing.get_context("fork")
    results: multiprocessing.Queue[str] = context.Queue()
    builders = [context.Process(target=_ensure, args=(environment, results)) for _ in range(3)]
    for builder in builders:
        builder.start()
    folders = {results.get(timeout=30) for _ in builders}
    for builder in builders:
        builder.join()
    cache = cache_directory(environment)
    assert folders == {str(cache / f"9.9.9-{RECIPE.hash}")}
    assert (cache / "builds").read_text() == "built\n"
    assert not list(cache.glob(".building-*"))


def test_a_failed_build_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(work: Path, output: Path, progress: Progress, recipe: Recipe = RECIPE) -> str:
        programs(output, "etcd")
        raise RuntimeError("out of disk")

    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    monkeypatch.setattr(binaries, "build", fail)
    with pytest.raises(RuntimeError):
        ensure_cached(environment=environment)
    assert [path.name for path in cache_directory(environment).iterdir()] == ["lock"]


@pytest.mark.parametrize(
    ("version", "upstream"),
    [("1.20.5+really1.20.2-1.1+deb12u1", "1.20.2"), ("1:1.20.4+ds-2", "1.20.4"), ("1.20.2-1", "1.20.2")],
)
def test_the_upstream_version_of_a_debian_version(version: str, upstream: str) -> None:
    assert _upstream_version(version) == upstream


def test_an_edit_of_the_source_changes_one_expression(tmp_path: Path) -> None:
    (tmp_path / "type.go").write_text("if data == nil || data == zero {")
    apply_edit(tmp_path, Edit("type.go", "data == nil || data == zero", "data == nil"))
    assert (tmp_path / "type.go").read_text() == "if data == nil {"


@pytest.mark.parametrize("source", ["if data == nil {", "zero zero"])
def test_an_edit_that_does_not_fit_the_source_ends_the_build(tmp_path: Path, source: str) -> None:
    (tmp_path / "type.go").write_text(source)
    with pytest.raises(BuildError, match=r"type\.go .*'zero'"):
        apply_edit(tmp_path, Edit("type.go", "zero", ""))
    assert (tmp_path / "type.go").read_text() == source


def kubectl_with(folder: Path, contexts: list[str]) -> Path:
    """A kubectl that knows `contexts`: with one asked for that it lacks it fails, as kubectl does."""
    kubectl = programs(folder, "kubectl") / "kubectl"
    shown = json.dumps({"contexts": [{"name": contexts[0]}]})
    kubectl.write_text(
        f'#!/bin/sh\ncase "$*" in *get-contexts*) echo {" ".join(contexts)};;\n'
        f"*'--context {contexts[0]} '*) echo '{shown}';;\n*) exit 1;; esac\n"
    )
    return kubectl


def test_a_context_asked_for_comes_before_everything(environment: dict[str, str], tmp_path: Path) -> None:
    kubectl = kubectl_with(tmp_path / "path", ["kind-cairn"])
    environment |= {
        "PATH": f"{kubectl.parent}:/usr/bin:/bin",
        "KUBEBUILDER_ASSETS": str(programs(tmp_path / "assets", *SERVERS)),
    }
    found = find_control_plane("kind-cairn", environment=environment)
    assert isinstance(found, ExistingCluster)
    assert found.context == "kind-cairn"
    assert json.loads(found.kubeconfig)["contexts"] == [{"name": "kind-cairn"}]


def test_a_context_that_does_not_exist_is_an_error_that_lists_those_that_do(
    environment: dict[str, str], tmp_path: Path
) -> None:
    kubectl = kubectl_with(tmp_path / "path", ["kind-cairn", "other"])
    environment["PATH"] = f"{kubectl.parent}:/usr/bin:/bin"
    with pytest.raises(ControlPlaneUnavailable, match="kind-cairn, other"):
        find_control_plane("missing", environment=environment)
