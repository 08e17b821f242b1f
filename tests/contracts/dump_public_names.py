"""Write the public names of an installed package: modules, functions, classes, methods, and names of parameters.

Run with the interpreter of an environment that has the package; nothing but names is looked at::

    python dump_public_names.py cellpose names.json
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import sys
from typing import Any


def parameters(function: Any) -> list[str] | None:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return None


def names_of(module: Any, package: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in sorted(vars(module).items()):
        if name.startswith("__"):
            continue
        home = getattr(value, "__module__", None) or ""
        if inspect.ismodule(value):
            if value.__name__.startswith(package + "."):
                found[name] = "module"
        elif inspect.isclass(value):
            if home.startswith(package):
                methods = {
                    key: parameters(member)
                    for key, member in sorted(vars(value).items())
                    if callable(member) and (not key.startswith("_") or key == "__init__")
                }
                found[name] = {"class": methods}
        elif inspect.isroutine(value):
            if home.startswith(package):
                found[name] = parameters(value)
        else:
            found[name] = "value"
    return found


def main(package: str, target: str) -> None:
    root = importlib.import_module(package)
    table: dict[str, Any] = {"": names_of(root, package)}
    for info in pkgutil.walk_packages(root.__path__, package + ".", onerror=lambda _: None):
        if info.name.endswith("__main__"):
            continue
        try:
            module = importlib.import_module(info.name)
        except BaseException as error:  # modules that need what is not installed
            table[info.name.removeprefix(package + ".")] = f"{type(error).__name__}"
            continue
        table[info.name.removeprefix(package + ".")] = names_of(module, package)
    with open(target, "w", encoding="utf-8") as file:
        json.dump(table, file, indent=0, sort_keys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
