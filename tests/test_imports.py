"""One direction of imports, and a words half that never pays for torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "nllcheck"

# Lowest first: a module may import modules of its own rank or of a lower one. Packages count by their name.
RANKS = (
    ("errors",),
    ("disk",),
    ("types",),
    (
        "ops",
        "graphs",
        "clamps",
        "autocast",
        "companions",
        "devices",
        "memo",
        "names",
        "resources",
        "expr",
        "yamltree",
        "callable_module",
    ),
    ("calls",),
    ("target", "match"),
    ("kept",),
    ("config", "rules", "prepare", "scan"),
    ("load",),
    ("save",),
    ("guard",),
    ("callbacks",),
    ("capture",),
    ("axes",),
    ("bounds",),
    ("sweep",),
    ("engine",),
    ("detect",),
    ("exact", "density", "search"),
    ("pairs",),
    ("options",),
    ("judge",),
    ("eager",),
    ("structure",),
    ("diagnose",),
    ("replay", "compiled"),
    ("summary", "report"),
    ("baseline", "cache", "policy", "suppressions", "scan", "cache"),
    ("stages",),
    ("check",),
    ("ruletest", "doctor", "pytest_plugin"),
    ("cli", "__init__", "__main__"),
)
RANK = {name: k for k, names in enumerate(RANKS) for name in names}
WORDS = (
    "errors",
    "disk",
    "types",
    "ops",
    "graphs",
    "clamps",
    "expr",
    "match",
    "rules",
    "diagnose",
    "report",
    "resources",
    "config",
    "yamltree",
    "baseline",
    "policy",
    "suppressions",
)


def modules() -> list[tuple[str, Path]]:
    return [(path.relative_to(PACKAGE).parts[0].removesuffix(".py"), path) for path in sorted(PACKAGE.rglob("*.py"))]


def imported(path: Path, top_level_only: bool = False) -> set[str]:
    """Dotted names a file imports; names imported under TYPE_CHECKING do not count."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    hidden = {id(n) for i in ast.walk(tree) if isinstance(i, ast.If) and "TYPE_CHECKING" in ast.dump(i.test)
              for n in ast.walk(i)}  # fmt: skip
    found: set[str] = set()
    for node in nodes:
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_every_module_has_a_rank():
    assert {name for name, _ in modules()} <= set(RANK) | {"_data"}


@pytest.mark.parametrize(("name", "path"), modules(), ids=lambda v: v.name if isinstance(v, Path) else v)
def test_imports_go_one_way(name, path):
    for dotted in imported(path):
        parts = dotted.split(".")
        if parts[0] == "nllcheck" and len(parts) > 1 and parts[1] in RANK:
            assert RANK[parts[1]] <= RANK[name], f"{path.name} imports {dotted}"


def test_no_module_needs_itself():
    paths = {dotted_name(path): path for _, path in modules()}
    TopologicalSorter({name: needed(path, set(paths)) - {name} for name, path in paths.items()}).prepare()


@pytest.mark.parametrize("room", ["samples", "integral", "kl", "draws"])
def test_the_rooms_of_the_density_test_share_one_only(room):
    for path in (PACKAGE / "density" / room).glob("*.py"):
        read = {
            parts[2] for d in imported(path) if (parts := d.split("."))[:2] == ["nllcheck", "density"] and parts[2:]
        }
        assert not read & {"integral", "kl", "draws", "samples"} - {room, "samples"}, path.name


def needed(path: Path, names: set[str]) -> set[str]:
    """The modules whose content a file needs to be read; of a package that it takes modules from, only these."""
    found = imported(path, top_level_only=True) & names
    return {n for n in found if not any(m.startswith(f"{n}.") for m in found) or _takes_from(path, n, names)}


def _takes_from(path: Path, package: str, names: set[str]) -> bool:
    nodes = (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom) and n.module == package)
    return any(f"{package}.{alias.name}" not in names for n in nodes for alias in n.names)


def dotted_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize(("name", "path"), [m for m in modules() if m[0] in WORDS], ids=lambda v: str(v)[-20:])
def test_words_half_does_not_import_torch(name, path):
    assert not any(dotted.split(".")[0] == "torch" for dotted in imported(path))


def test_importing_the_package_and_its_words_loads_neither_torch_nor_pandas():
    code = (
        "import sys, nllcheck, nllcheck.report, nllcheck.rules, nllcheck.match, nllcheck.cli;"
        "print([m for m in ('torch', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
