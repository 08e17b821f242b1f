"""The house itself: what importing loads, which names are public, which commands the README promises."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

import cellpose
from cellpose._machine.optional import _LIBRARIES

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "numba", "matplotlib", "PySide6", "scipy", "cv2", "skimage")


def modules_after(*arguments: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after running this."""
    code = f"""
import sys
{arguments[0]}
print("\\n".join(sorted(sys.modules)), file=sys.__stderr__)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stderr.splitlines())


def test_importing_cellpose_loads_nothing_heavy() -> None:
    loaded = modules_after("import cellpose; cellpose.version, cellpose.__version__, cellpose.version_str")
    assert "cellpose" in loaded
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_answer_without_heavy_libraries(option: str) -> None:
    code = f"""
from cellpose.__main__ import main
try:
    main([{option!r}])
except SystemExit as end:
    assert not end.code, end.code
"""
    assert modules_after(code).isdisjoint(HEAVY)


@pytest.mark.parametrize("name", cellpose._PUBLIC_MODULES)
def test_public_modules_load_and_keep_their_promises(name: str) -> None:
    module = getattr(cellpose, name)
    assert module is importlib.import_module(f"cellpose.{name}")
    missing = [public for public in getattr(module, "__all__", []) if not hasattr(module, public)]
    assert not missing


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        cellpose.nonsense  # noqa: B018


def test_version_is_the_same_everywhere() -> None:
    project, citation = ((ROOT / name).read_text(encoding="utf-8") for name in ("pyproject.toml", "CITATION.cff"))
    assert cellpose.__version__ == cellpose.version
    assert re.findall(r'^version = "(.+)"$', project, re.MULTILINE) == [cellpose.version]
    assert re.findall(r"^version: (.+)$", citation, re.MULTILINE) == [cellpose.version]
    # Programs outside take the first three characters as a number and the first part as the generation.
    assert float(cellpose.version[:3]) >= 4
    assert f"cellpose version: \t{cellpose.version}" in cellpose.version_str


def test_version_is_a_string_and_a_module() -> None:
    module = importlib.import_module("cellpose.version")
    assert module.version_str == cellpose.version_str
    assert cellpose.version == module.version == cellpose.__version__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        module.nothing  # noqa: B018


def test_the_readme_names_the_two_commands() -> None:
    readme, makefile = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "Makefile"))
    for command in ("demo", "test"):
        assert f"make {command}" in readme
        assert f"\n{command}:" in makefile
    assert "independent implementation" in readme


def test_source_has_no_print_for_users_of_the_library() -> None:
    sources = [path for path in (ROOT / "src").rglob("*.py") if "cli" not in path.parts]
    assert len(sources) > 30
    printing = [path.name for path in sources if "\n    print(" in path.read_text(encoding="utf-8")]
    assert not printing


def test_numba_is_loaded_before_its_parts() -> None:
    # Python locks a part before its package: threads that begin at both ends get halves of both.
    for file in (ROOT / "src").rglob("*.py"):
        body = ast.parse(file.read_text(encoding="utf-8")).body
        names = [node.module or "" for node in body if isinstance(node, ast.ImportFrom)]
        parts = [name for name in names if name.split(".")[0] == "numba"]
        assert not parts or parts[0] == "numba", f"{file} imports {parts[0]} before numba"


def test_arguments_travel_by_name() -> None:
    """A dict of all local names hides which of them are used."""
    files = [file.name for file in (ROOT / "src").rglob("*.py") if "locals()" in file.read_text(encoding="utf-8")]
    assert files == []


def undocumented(tree: ast.AST) -> list[str]:
    """Functions, classes and methods whose names are public and that say nothing of themselves."""
    found = []
    for node in getattr(tree, "body", []):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        # What these decorators mark is described where the method or the property begins.
        marks = {ast.unparse(mark).rpartition(".")[2] for mark in node.decorator_list}
        if not node.name.startswith("_") and not marks & {"overload", "override", "setter"}:
            found += [] if ast.get_docstring(node) else [node.name]
        if isinstance(node, ast.ClassDef):
            found += [f"{node.name}.{name}" for name in undocumented(node)]
    return found


def test_private_modules_are_documented_too() -> None:
    """What a module shares with others has a docstring; ruff looks at public modules only."""
    assert undocumented(ast.parse("def f(): pass\nclass A:\n    def m(self): pass")) == ["f", "A", "A.m"]
    files = sorted((ROOT / "src").rglob("*.py"))
    missing = [f"{file.name}: {name}" for file in files for name in undocumented(ast.parse(file.read_text("utf-8")))]
    assert missing == []


def private_imports(source: Path) -> list[str]:
    """Imports, at any depth, of what another room calls private: a module or a name with an underscore."""
    found = []
    for file in sorted(source.rglob("*.py")):
        own = ("cellpose", *file.relative_to(source).with_suffix("").parts)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                base = own[: len(own) - node.level] if node.level else ()
                module = (*base, *(node.module or "").split("."))
                paths = [(*filter(None, module), alias.name) for alias in node.names]
            elif isinstance(node, ast.Import):
                paths = [tuple(alias.name.split(".")) for alias in node.names]
            else:
                continue
            found += [
                f"{'/'.join(own[1:])}: {'.'.join(path)}"
                for path in paths
                if path[0] == "cellpose" and path[1:2] != own[1:2] and any(re.match("_[^_]", p) for p in path[2:])
            ]
    return found


def test_no_room_imports_what_is_private_to_another(tmp_path: Path) -> None:
    assert private_imports(ROOT / "src" / "cellpose") == []
    (tmp_path / "io").mkdir()
    lines = ("from cellpose.io._a import b", "from cellpose.train._a import b", "from ..core import _c", "import os")
    (tmp_path / "io" / "_x.py").write_text("\n".join(lines))
    assert private_imports(tmp_path) == ["io/_x: cellpose.train._a.b", "io/_x: cellpose.core._c"]


def circles(graph: grimp.ImportGraph) -> list[tuple[str, str]]:
    """Imports that would have to go so that no modules or packages, at any depth, import each other in a circle."""
    packages = [module for module in graph.modules if graph.find_children(module)]
    return sorted(pair for package in packages for pair in graph.nominate_cycle_breakers(package))


def test_nothing_is_imported_in_a_circle() -> None:
    """Imports within functions count, which hide circles; those for types alone, which never run, do not."""
    graph = grimp.build_graph("cellpose", exclude_type_checking_imports=True, cache_dir=None)
    assert circles(graph) == []
    graph.add_import(importer="cellpose.dynamics._cpu._heat", imported="cellpose.dynamics._quality")
    assert len(circles(graph)) == 1


def test_kernels_and_tensors_know_nothing_of_each_other() -> None:
    graph = grimp.build_graph("cellpose", cache_dir=None)
    one, other = "cellpose.dynamics._cpu", "cellpose.dynamics._torch"
    for importer, imported in ((one, other), (other, one)):
        assert not graph.find_shortest_chains(importer, imported)


def _legacy_names() -> dict[str, set[str]]:
    """Names that stand in legacy modules, by room."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "src" / "cellpose").glob("*/_legacy*.py"):
        module = importlib.import_module(f"cellpose.{path.parent.name}.{path.stem}")
        found.setdefault(path.parent.name, set()).update(module.__all__)
    return found


def test_living_code_needs_no_name_of_older_scripts() -> None:
    """Only the face of its room imports a legacy module, and no living code takes a legacy name from a face."""
    graph = grimp.build_graph("cellpose", cache_dir=None)
    legacy = {module for module in graph.modules if module.rpartition(".")[2].startswith("_legacy")}
    assert len(legacy) > 8
    for module in legacy:
        assert graph.find_modules_that_directly_import(module) == {module.rpartition(".")[0]}
    names = _legacy_names()
    taken = []
    for path in (ROOT / "src" / "cellpose").rglob("*.py"):
        if path.name == "__init__.py" or path.stem.startswith("_legacy"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                room, used = node.value.id, {node.attr}
            elif isinstance(node, ast.ImportFrom) and node.module:
                room, used = node.module.removeprefix("cellpose."), {alias.name for alias in node.names}
            else:
                continue
            taken += [(path.name, room, name) for name in used & names.get(room, set())]
    assert taken == []


# Libraries that come with another one of the extra.
COME_ALONG = {"distributed": "dask", "networkx": "traccuracy", "yaml": "pyyaml", "bioimageio": "bioimageio.core"}


def test_extras_that_errors_name_hold_the_library() -> None:
    tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    held = {extra: {re.split(r"[\[><=;]", each)[0].lower() for each in needed} for extra, needed in extras.items()}
    named = set()
    for file in (ROOT / "src/cellpose").rglob("*.py"):
        source = file.read_text(encoding="utf-8")
        for call in re.finditer(r"\b(?:optional|_library)\(\s*\"([\w.]+)\", \"(\w+)\"", source):
            module = call[1].partition(".")[0]
            if module not in ("torch", "no_such_library"):  # torch is always there
                named.add((COME_ALONG.get(module, _LIBRARIES.get(module, module)), call[2]))
    assert len(named) > 10
    assert [(library, extra) for library, extra in sorted(named) if library not in held[extra]] == []


def test_names_that_older_programs_import() -> None:
    from cellpose.__main__ import logger_setup
    from cellpose.gui import gui, gui3d
    from cellpose.io import logger_setup as same

    assert logger_setup is same
    assert all(map(callable, (gui.run, gui3d.run)))
