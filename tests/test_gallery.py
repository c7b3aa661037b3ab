"""What a program of the gallery must be, as far as reading it tells.

They are run when the pages are built.
"""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

GALLERY = Path(__file__).parents[1] / "examples" / "gallery"
PROGRAMS = sorted(GALLERY.rglob("*.py"))

# What these have draws numbers where it takes a random state.
RANDOM = {"sklearn.ensemble", "sklearn.model_selection", "sklearn_jointens"}

each_program = pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)


def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path):
    """Pairs (module, name) of all that is imported by name."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)


@each_program
def test_its_title_is_a_question(path):
    title, line, *_ = ast.get_docstring(parsed(path)).splitlines()

    assert path.name.startswith("plot_")
    assert title.endswith("?")
    assert line == "=" * len(title)


@each_program
def test_it_downloads_nothing(path):
    assert not [name for _, name in imported(path) if name.startswith("fetch_")]


@each_program
def test_what_it_imports_of_the_package_is_public(path):
    own = [pair for pair in imported(path) if pair[0].startswith("sklearn_jointens")]

    assert own
    for module, name in own:
        assert name in importlib.import_module(module).__all__


@each_program
def test_it_gives_every_random_state(path):
    """Who builds the pages again has the same figures."""
    random = {
        name
        for module, name in imported(path)
        if module in RANDOM and "random_state" in parameters_of(module, name)
    }

    calls = [
        node
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) in random
    ]

    assert calls
    for call in calls:
        given = {keyword.arg for keyword in call.keywords}
        assert "random_state" in given, f"line {call.lineno}"


def parameters_of(module, name):
    it = getattr(importlib.import_module(module), name)
    is_error = isinstance(it, type) and issubclass(it, Exception)
    return {} if is_error else inspect.signature(it).parameters


def test_every_folder_has_a_heading():
    folders = {path.parent for path in PROGRAMS}

    assert all((folder / "GALLERY_HEADER.rst").is_file() for folder in folders)
