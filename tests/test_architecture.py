"""The rules of the house that no linter knows.

Every module stands on a floor and imports from its own floor and from the floors
below it. The losses know torch only; vectorized layers stand on them; then come
training, the estimators, and inspection.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sklearn_jointens"
MODULES = sorted(PACKAGE.rglob("*.py"))
MODULE_IDS = [str(path.relative_to(ROOT)) for path in MODULES]

FLOORS = {
    "_exceptions": 0,
    "losses": 1,
    "nn": 2,
    "training": 3,
    "_compat": 3,
    "inspection": 5,
}
ESTIMATORS_FLOOR = 4
ROOF = 6

# Methods that open what stands above, at the call: fitted ensembles have a report.
DOORS = {"_reported.py": "sklearn_jointens.inspection.report"}

LAST_FLOOR_WITHOUT_LIBRARIES = FLOORS["nn"]
LIBRARIES = {"joblib", "pandas", "polars", "sklearn", "skorch"}

LONGEST_FILE = 400

TEXT_SUFFIXES = {
    ".cfg",
    ".css",
    ".csv",
    ".ipynb",
    ".json",
    ".md",
    ".py",
    ".rst",
    ".sh",
    ".svg",
    ".toml",
    ".txt",
    ".yaml",
    ".yml",
}
MACHINE_PATH = re.compile(r"(?<![\w.~/>}-])/(?:home|opt|root|tmp|Users|work)/\w")


def floor_of(parts):
    """Floor of a module, from the parts of its dotted name inside the package."""
    if not parts or parts[0] == "__init__":
        return ROOF
    return FLOORS.get(parts[0], ESTIMATORS_FLOOR)


def floor_of_file(path):
    return floor_of(path.relative_to(PACKAGE).with_suffix("").parts)


def imports_of(path):
    """Yield (line, dotted name) for everything that the file imports.

    ``from a import b`` gives ``a.b``: b may be a module. Imports inside functions and
    under ``TYPE_CHECKING`` count as much as the others.
    """
    yield from imports_in(ast.parse(path.read_text(encoding="utf-8")))


def imports_in(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            prefix = "." * node.level + (node.module or "")
            for alias in node.names:
                yield node.lineno, f"{prefix}.{alias.name}"


def is_private(name):
    """Whether a dotted name has a part that its library does not promise to keep."""
    return any(
        part.startswith("_") and not part.startswith("__") for part in name.split(".")
    )


def project_text_files():
    """Text files of the project, without what tools and builds have written."""
    not_ours = {"_build", "generated", "build", "dist", "output", "runs", "venv"}
    for path in ROOT.rglob("*"):
        folders = path.relative_to(ROOT).parts[:-1]
        if folders[:2] == ("docs", "gallery"):  # Sphinx writes it
            continue
        hidden = any(f.startswith(".") and f not in {".ci", ".github"} for f in folders)
        if hidden or not_ours.intersection(folders) or "__pycache__" in folders:
            continue
        if path.is_file() and (path.suffix in TEXT_SUFFIXES or ".ci" in folders):
            yield path


@pytest.mark.core
@pytest.mark.parametrize("path", MODULES, ids=MODULE_IDS)
def test_imports_point_down(path):
    own = floor_of_file(path)

    upward = []
    for line, name in imports_of(path):
        package, *rest = name.split(".")
        if package != PACKAGE.name:
            continue
        other = floor_of(rest)
        if other > own and DOORS.get(path.name) != name:
            upward.append(f"line {line}: floor {own} imports {name} of floor {other}")

    assert not upward, "\n".join(upward)


@pytest.mark.parametrize(("file", "name"), DOORS.items())
def test_doors_are_opened_at_the_call(file, name):
    path = PACKAGE / file
    module = ast.parse(path.read_text(encoding="utf-8"))

    module.body = [
        node for node in module.body if isinstance(node, ast.Import | ast.ImportFrom)
    ]

    assert name in [imported for _, imported in imports_of(path)]
    assert name not in [imported for _, imported in imports_in(module)]


@pytest.mark.parametrize("path", MODULES, ids=MODULE_IDS)
def test_losses_and_layers_know_torch_only(path):
    if floor_of_file(path) > LAST_FLOOR_WITHOUT_LIBRARIES:
        return

    unwanted = [
        f"line {line}: {name}"
        for line, name in imports_of(path)
        if name.split(".")[0] in LIBRARIES
    ]

    assert not unwanted, "\n".join(unwanted)


@pytest.mark.parametrize("path", MODULES, ids=MODULE_IDS)
def test_imports_are_absolute(path):
    relative = [f"line {n}: {name}" for n, name in imports_of(path) if name[0] == "."]

    assert not relative, "\n".join(relative)


@pytest.mark.parametrize("path", MODULES, ids=MODULE_IDS)
def test_file_can_be_read_in_one_sitting(path):
    n_lines = len(path.read_text(encoding="utf-8").splitlines())

    assert n_lines <= LONGEST_FILE, f"{n_lines} lines: split this file by its ideas"


@pytest.mark.parametrize("library", ["sklearn", "skorch"])
def test_private_names_of_a_library_are_imported_in_one_file(library):
    users = {
        f"{path.relative_to(ROOT)} imports {name}": path
        for path in MODULES
        for _, name in imports_of(path)
        if name.split(".")[0] == library and is_private(name)
    }

    assert len(set(users.values())) <= 1, "\n".join(users)


def test_no_file_names_a_path_of_somebodys_machine():
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in project_text_files()
        for number, line in enumerate(
            path.read_text(encoding="utf-8").splitlines(), start=1
        )
        if MACHINE_PATH.search(line)
    ]

    assert not found, "\n".join(found)
