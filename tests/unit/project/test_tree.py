"""The tree as a whole: links, the lock, and that nothing of one machine is in it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from support.tree import ROOT, files, name, texts

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
ADDRESS = re.compile(r"(?:https?|ftp)://(?:[^\s/@]*@)?([\w.-]+)(?::\d+)?(/[^\s\"'`<>)]*)?", re.IGNORECASE)
"""Host and path."""
REGISTRY_PATH = re.compile(r"/(?:simple|dists|pool/(?:main|contrib|updates))(?:/|$)")
MEANINGFUL_PARTS = 3
NOBODYS = (".example", ".invalid", ".test", "localhost")
"""Names that lead nowhere by definition (RFC 2606): tests and texts may use them."""
OPTION = re.compile(r"--(?:extra-)?index-url|--find-links|--trusted-host|^-[if] ", re.MULTILINE)


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", [path for path in files() if path.suffix == ".md"], ids=name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(CODE.sub("", page.read_text())):
        if urlsplit(target).scheme:
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{name(page)} links to {target}"
        if anchor and there.suffix == ".md":
            anchors = {_anchor(heading) for heading in HEADING.findall(CODE.sub("", there.read_text()))}
            assert anchor in anchors, f"{name(page)} links to {target}"


def test_every_page_of_the_documentation_is_linked_to() -> None:
    pages = {path.resolve() for path in (ROOT / "docs").glob("*.md")}
    index = ROOT / "docs" / "README.md"
    linked = {
        (page.parent / target.partition("#")[0]).resolve()
        for page in (*pages, ROOT / "README.md")
        for target in LINK.findall(page.read_text())
        if not urlsplit(target).scheme
    }
    assert sorted(map(name, pages - linked - {index})) == []


def _registries() -> Iterator[str]:
    """The hosts that this machine's own package clients would ask, whatever they are."""
    values = [os.environ.get(variable, "") for variable in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")]
    values += _command(sys.executable, "-m", "pip", "config", "list")
    values += _command("npm", "config", "get", "registry")
    for source in (*Path("/etc/apt").glob("sources.list*"), *Path("/etc/apt/sources.list.d").glob("*")):
        if source.is_file():
            values.append(source.read_text())
    from pip._internal.models.index import PyPI

    values += [PyPI.url, f"https://{PyPI.file_storage_domain}"]
    for host, _path in ADDRESS.findall("\n".join(values)):
        if _is_somebodys(host):
            yield host


def _is_somebodys(host: str) -> bool:
    return "." in host and not host.endswith(NOBODYS) and not host.startswith("127.")


def _command(*command: str) -> list[str]:
    if shutil.which(command[0]) is None:
        return []
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return [done.stdout]


def test_no_file_names_a_package_registry() -> None:
    """Whoever installs Cairn uses the registries that their machine is set up for."""
    hosts = set(_registries())
    assert hosts
    words = re.compile("|".join(rf"(?<![\w.-]){re.escape(host)}(?![\w-])" for host in sorted(hosts)))
    named = []
    for path, text in texts():
        named += [f"{name(path)}: a registry's host" for _ in words.findall(text)]
        named += [
            f"{name(path)}: {host}{where}"
            for host, where in ADDRESS.findall(text)
            if _is_somebodys(host) and REGISTRY_PATH.search(where)
        ]
    assert named == []


def test_no_file_names_this_copy_of_the_tree() -> None:
    if len(ROOT.parts) < MEANINGFUL_PARTS:
        pytest.skip("checked out so near the root that its path is an ordinary word")
    assert [name(path) for path, text in texts() if f"{ROOT}/" in text] == []


def test_the_lock_pins_everything_by_hash_and_names_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert not ADDRESS.search(text)
    assert not OPTION.search(text)
    requirements = [block for block in re.split(r"\n(?=\S)", text) if not block.startswith("#")]
    assert len(requirements) > 50
    for requirement in requirements:
        assert re.match(r"[a-z0-9][a-z0-9._-]*==\S+ \\\n", requirement), requirement.splitlines()[0]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", requirement), requirement.splitlines()[0]


def test_the_lock_has_what_the_project_asks_for() -> None:
    tomllib = pytest.importorskip("tomllib")
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    pins = dict(
        re.findall(r"^([a-z0-9._-]+)==(\S+) \\$", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *(item for extra in project["project"]["optional-dependencies"].values() for item in extra),
    ]
    for text in wanted:
        requirement = Requirement(text)
        if requirement.name != "cairn":
            pin = pins.get(canonicalize_name(requirement.name))
            assert pin is not None, f"{text} is not in the lock: run make lock"
            assert requirement.specifier.contains(pin), f"{text} is pinned to {pin}: run make lock"


def test_every_yaml_file_is_yaml() -> None:
    for path in files():
        if path.suffix in (".yaml", ".yml") and "templates" not in path.parts:
            assert list(yaml.safe_load_all(path.read_text())), name(path)


def test_pre_commit_fetches_nothing() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert {repo["repo"] for repo in config["repos"]} == {"local"}
    assert {hook["language"] for repo in config["repos"] for hook in repo["hooks"]} == {"system"}
