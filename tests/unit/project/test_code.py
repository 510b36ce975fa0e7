"""Conventions of the code that no linter knows."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator

from support.tree import PACKAGES, ROOT, files, modules, name

ENUMS = {"Enum", "StrEnum", "IntEnum", "Flag"}
"""Their members say what they are."""


def test_imports_go_one_way() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()"]
    done = subprocess.run([*command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_the_folder_operator_shadows_no_module_of_the_standard_library() -> None:
    for folder in ("operator", "node-agent", "api-gateway", "crds", "database"):
        assert not (ROOT / folder / "__init__.py").exists()


def test_every_package_says_that_it_is_typed() -> None:
    assert [package for package in PACKAGES if not (ROOT / package / "py.typed").exists()] == []


def test_every_package_is_known_to_the_checks() -> None:
    there = {
        name(path.parent)
        for path in files()
        if path.name == "__init__.py" and path.parent.parent.parent == ROOT and "tests" not in path.parts
    }
    assert there == set(PACKAGES)
    project = (ROOT / "pyproject.toml").read_text()
    for package in there:
        # import-linter's root packages and mypy's packages.
        assert project.count(f'"{package.split("/")[1]}"') >= 2, package


def test_every_file_of_code_opens_by_saying_what_it_is_for() -> None:
    silent = [
        name(path)
        for path in files()
        if path.suffix == ".py"
        and path.read_text().strip()
        and not ast.get_docstring(_parsed(path.read_text()))
    ]
    assert silent == []


def test_public_functions_and_classes_say_what_they_promise() -> None:
    silent = [
        f"{name(path)}:{node.lineno} {node.name}"
        for path in modules()
        if "migrations/versions" not in name(path)  # Alembic's entry points
        for node in _public(_parsed(path.read_text()))
        if not ast.get_docstring(node) and not _speaks_for_itself(node)
    ]
    assert silent == []


def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


def _public(module: ast.Module) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in module.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_":
            yield node


def _speaks_for_itself(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    if isinstance(node, ast.ClassDef):
        return any(ast.unparse(base).split(".")[-1] in ENUMS for base in node.bases)
    # The module's docstring is that of its `main`; one line of code says all that could be said of it.
    return node.name == "main" or len(node.body) == 1
