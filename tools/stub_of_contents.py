"""``python tools/stub_of_contents.py`` writes ``fastnn_ref/__init__.pyi``, which type checkers read, from CONTENTS.

Modules are imported at the first use of a name, and no type checker can follow that.
"""

import ast
import textwrap
from pathlib import Path

import fastnn_ref

PACKAGE = Path(fastnn_ref.__file__).parent
HEAD = '''# Written by tools/stub_of_contents.py. ``as`` tells a type checker that a name is public.
import os
from collections.abc import Mapping
from typing import Any

# isort: off
'''


def line(module: str, names: list[str]) -> str:
    """An import, over several lines if it is long."""
    found = ", ".join(f"{name}~as~{name}" for name in names)        # never broken within
    short = f"from .{module} import {found}"
    long = textwrap.fill(found, 115, initial_indent="    ", subsequent_indent="    ")
    return (short if len(short) <= 120 else f"from .{module} import (\n{long},\n)").replace("~", " ")


def functions() -> list[str]:
    """Those that stand in the package itself, without what they do."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))
    own = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in fastnn_ref.__all__]
    heads = [ast.unparse(node).partition(":\n")[0] for node in own]
    return [f"{head}: ...".replace("'", "").replace("=", " = ") for head in heads]


def stub() -> str:
    """The text of the file."""
    imports = [line(module, names.split()) for module, names in fastnn_ref.CONTENTS.items() if names]
    modules = ["from .shared import metrics as metrics", "from . import init as init, philox as philox"]
    return HEAD + "\n".join([*imports, *modules, "# isort: on\n", *functions()]) + "\n"


if __name__ == "__main__":
    (PACKAGE / "__init__.pyi").write_text(stub(), "utf-8")
