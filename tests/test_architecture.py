"""Rules of the code itself: layers, sizes, what may be imported and what may not."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("feature_repo", "ranking", "validation", "pipelines")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
HEAVY = {
    "av",
    "torch",
    "transformers",
    "feast",
    "dagster",
    "great_expectations",
    "lightgbm",
    "pandas",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "duckdb",
    "faiss",
}
STATEMENTS = {  # of which some do what must come before others import anything
    "ranking/__init__.py": 3,  # sets a variable that OpenMP reads when torch is loaded
    "feature_repo/__init__.py": 3,  # says how Feast is imported
}


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(path: Path) -> set[str]:
    """Top names of every import, wherever in the file it stands."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    return names


def test_the_layers_hold():
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert ", 0 broken." in done.stdout


def test_the_help_loads_nothing_heavy():
    script = (
        "import sys\n"
        "from pipelines.cli import app\n"
        "try:\n"
        "    app(['--help'])\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        "print(' '.join({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "recommend" in done.stdout
    assert not HEAVY & set(done.stderr.split())


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_a_module_is_short_and_free_of_pickle(path: Path):
    assert len(path.read_text().splitlines()) <= 320
    assert not imported(path) & {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "shelve"}
    assert path.stem not in {"utils", "helpers", "common", "misc", "base", "core"}


@pytest.mark.parametrize("path", [path for path in MODULES if path.name == "__init__.py"], ids=named)
def test_an_init_file_holds_a_docstring_only(path: Path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    assert len(tree.body) == STATEMENTS.get(named(path), 1)


def test_tests_have_no_init_files():
    assert not list((ROOT / "tests").rglob("__init__.py"))
