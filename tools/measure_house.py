"""Counts of how the packages are built: code lines and plumbing of the reference, calls of a step, fields of a layer.

    python -m tools.measure_house                       a table
    python -m tools.measure_house --json FILE           the same as data, too
    python -m tools.measure_house --before FILE         beside the figures of an earlier run

A *code line* is one with a Python token on it that is neither a comment nor part of a docstring. *Written once* are all
code lines of the modules in WRITTEN_ONCE and of everything in a folder named in ROOMS: plumbing by module. In a file
that holds formulas (all but BOOKKEEPING), *maths* are the code lines of functions that compute, and plumbing is the
rest: imports, class attributes, constructors, shapes, checks. Their signatures count, as they name the quantities of
the formula; the figures for bodies alone stand beside them. A function computes if a statement in it has an operator (+
− * / // % ** @ | & ^ << >>) on something else than texts and tuples, or calls NumPy, math, philox or mixup, or if its
name is in PASSES; constructors, properties, special methods and those in NOT_MATHS never do; a line that only calls a
check or raises an error does not count. Files are found by name wherever they stand; "-" is what does not exist. The
calls of a step depend a little on Python's version: from 3.12 on a list comprehension is no call of its own.
"""

import argparse
import ast
import io
import json
import pathlib
import re
import subprocess
import sys
import tokenize
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent

# What is written once, for both packages: modules by name, wherever they stand, and rooms in which all is.
WRITTEN_ONCE = ("validation", "checks", "training", "text_noise", "gradcheck", "early_stopping", "schedule", "init",
                "philox", "mixup")
ROOMS = ("shared",)
# Modules whose functions count as checks, in a step of the reference; of the last ones only those in the shared room.
CHECKS = ("validation", "checks", "shared/objects", "shared/shapes", "shared/arrays", "shared/targets",
          "shared/network", "shared/optimizer")
# Files without a formula of their own; in all others that are not written once, maths and plumbing are counted apart.
BOOKKEEPING = ("__init__", "network", "layer", "model", "sequential", "custom", "optimizer", "predictor")
# Functions that are maths however they are written, and some that never are.
PASSES = ("forward_pass", "backward_pass", "act", "act_back", "act_backward", "update", "value_and_gradient", "slope",
          "gradient", "restrain", "constrain")
NOT_MATHS = ("arguments", "config", "state", "output_shape", "least_rows", "leaves", "inside", "step", "join", "accept",
             "state_dict", "load_state_dict", "forward", "backward", "children", "adopt", "attach", "prepare_targets")
CHECK_VERBS = ("check_", "as_")
NUMERIC = ("np", "numpy", "math", "philox", "blend", "mixup")


def docstrings(tree: ast.Module) -> set[int]:
    """The line numbers of all strings that stand as a statement."""
    return {line for node in ast.walk(tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
            for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}


def code_lines(text: str) -> set[int]:
    layout = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER,
              tokenize.ENCODING)
    lines = {line for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type not in layout
             for line in range(token.start[0], token.end[0] + 1)}
    return lines - docstrings(ast.parse(text))


def root_name(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute | ast.Call | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def textual(node: ast.expr) -> bool:
    """Is this a text, or a tuple or list written out, which + and % join or fill in?"""
    text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return text or isinstance(node, ast.JoinedStr | ast.Tuple | ast.List | ast.Dict)


def computes(statement: ast.AST) -> bool:
    for node in ast.walk(statement):
        if isinstance(node, ast.AugAssign) and not textual(node.value):
            return True
        if isinstance(node, ast.BinOp) and not (textual(node.left) or textual(node.right)):
            return True
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and root_name(node.func) in NUMERIC:
            return True
    return False


def checks_only(statement: ast.stmt) -> bool:
    """A call of a check whose result is used as it is, an error, or an `if` that only leads to an error."""
    if isinstance(statement, ast.Raise):
        return True
    if isinstance(statement, ast.If):
        return not statement.orelse and all(checks_only(inner) for inner in statement.body)
    value = getattr(statement, "value", None)
    if not isinstance(value, ast.Call):
        return False
    name = value.func.attr if isinstance(value.func, ast.Attribute) else getattr(value.func, "id", "")
    return root_name(value.func) in CHECKS or name.startswith(CHECK_VERBS)


def is_maths(function: ast.FunctionDef) -> bool:
    if function.name in PASSES:
        return True
    if function.name in NOT_MATHS or function.name.startswith("__"):
        return False
    if any(root_name(decorator) == "property" for decorator in function.decorator_list):
        return False
    return any(computes(statement) for statement in function.body)


def maths_lines(text: str, signatures: bool = True) -> set[int]:
    tree = ast.parse(text)
    lines: set[int] = set()
    for node in tree.body:
        for function in [node] if isinstance(node, ast.FunctionDef) else getattr(node, "body", []):
            if isinstance(function, ast.FunctionDef) and is_maths(function):
                if signatures:
                    lines.update(range(function.lineno, function.body[0].lineno))
                for statement in function.body:
                    if not checks_only(statement):
                        lines.update(range(statement.lineno, (statement.end_lineno or statement.lineno) + 1))
    return lines & code_lines(text)


def reference() -> dict[str, dict[str, int]]:
    """Of each file of the reference, by its path in the package: code lines, and maths of those that hold formulas."""
    package, files = ROOT / "fastnn_ref", {}
    for path in sorted(package.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        where = path.relative_to(package)
        row = {"code": len(code_lines(text))}
        if where.stem in ("__init__",) and not row["code"]:
            continue
        once = where.stem in WRITTEN_ONCE or bool(set(where.parts[:-1]) & set(ROOMS))
        row["written_once"] = row["code"] if once else 0
        if not once and where.stem not in BOOKKEEPING:
            row["maths"], row["bodies"] = len(maths_lines(text)), len(maths_lines(text, signatures=False))
        files[where.as_posix()] = row
    return files


STEP = """
import json, os, sys
import numpy as np
import fastnn_ref as nn

model = nn.Sequential(nn.Linear(2, 8, activation="relu"), nn.Linear(8, 2), seed=0)
x, t = np.zeros((4, 2)), np.array([0, 1, 1, 0])
loss, optimizer = nn.CrossEntropyLoss(), nn.Adam(lr=0.1)
for _ in range(3):
    model.step(x, t, loss, optimizer)
home, checks = os.path.dirname(nn.__file__), set(json.loads(sys.argv[1]))
found = {"calls": 0, "checks": 0}

def see(frame, event, argument):
    if event == "call" and frame.f_code.co_filename.startswith(home):
        found["calls"] += 1
        where = os.path.relpath(frame.f_code.co_filename, home)[:-3].replace(os.sep, "/")
        found["checks"] += where in checks or bool(checks & set(where.split("/")))

sys.setprofile(see)
model.step(x, t, loss, optimizer)
sys.setprofile(None)
print(json.dumps(found))
"""
WEIGHT = """
import sys, fastnn
print(sys.getsizeof(fastnn.ReLU()), fastnn.ReLU.__basicsize__)
"""


def run(code: str, *arguments: str) -> str | None:
    """What a fresh interpreter prints; None if it fails."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def fields() -> int | None:
    """Attributes of `cdef class Layer` and of its base classes: each name of each line that declares no function."""
    text = [line.partition("#")[0].rstrip() for path in sorted((ROOT / "fastnn").rglob("*.pxd"))
            for line in path.read_text(encoding="utf-8").splitlines()]
    kind, count, found = "Layer", 0, False
    while kind:
        inside, base = False, ""
        for line in text:
            if line and not line.startswith(" "):
                head = re.match(rf"cdef class {kind}(?:\((\w+)\))?:", line)
                inside, base = bool(head), (head[1] or "") if head else base
                found = found or inside
            elif inside and line.strip().startswith("cdef ") and "(" not in line:
                count += line.count(",") + 1
        kind = base
    return count if found else None


def lines_of(folder: str) -> int | None:
    files = [path for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".c")]
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files) if files else None


def collected() -> int | None:
    done = subprocess.run([sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"], cwd=ROOT,
                          capture_output=True, text=True)
    found = re.search(r"^(?:\d+/)?(\d+) tests? collected", done.stdout, re.MULTILINE)
    return int(found[1]) if found else None


def commit() -> str | None:
    try:
        done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() or None


def measured() -> dict[str, Any]:
    files = reference()
    total = sum(row["code"] for row in files.values())
    once = sum(row["written_once"] for row in files.values())
    apart = {"init", "philox", "mixup"}
    kept = sum(row["code"] for path, row in files.items()
               if not row["written_once"] and pathlib.PurePath(path).stem not in apart)
    step = run(STEP, json.dumps(CHECKS))
    weight = run(WEIGHT)
    formulas = [row for row in files.values() if "maths" in row]
    worst, bare = (max(((row["code"] - row[which]) / max(row[which], 1) for row in formulas), default=0.0)
                   for which in ("maths", "bodies"))
    return {
        "commit": commit(),
        "figures": {
            "reference: code lines": total,
            "reference: written once for both packages": once,
            "reference: share written once, %": round(100 * once / total, 1) if total else None,
            "reference: the rest, without init, philox, mixup": kept,
            "reference: maths in the files of formulas": sum(row["maths"] for row in formulas),
            "reference: plumbing in the files of formulas": sum(row["code"] - row["maths"] for row in formulas),
            "reference: worst plumbing / maths of a formula file": round(worst, 2),
            "reference: the same, of bodies alone": round(bare, 2),
            "reference step, two layers: calls": json.loads(step)["calls"] if step else None,
            "reference step, two layers: of these checks": json.loads(step)["checks"] if step else None,
            "engine: fields of Layer": fields(),
            "engine: bytes of a ReLU, by getsizeof": int(weight.split()[0]) if weight else None,
            "engine: bytes of a ReLU, without the collector's": int(weight.split()[1]) if weight else None,
            "bench: lines": lines_of("bench"),
            "tests collected": collected(),
        },
        "files": files,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=pathlib.Path, help="write the figures to this file, too")
    parser.add_argument("--before", type=pathlib.Path, help="a file of an earlier run, to be shown beside this one")
    options = parser.parse_args()
    found = measured()
    old = json.loads(options.before.read_text(encoding="utf-8")) if options.before else None

    def show(value: Any) -> str:
        return "-" if value is None else f"{value:,}"

    print(f"{'':<54}" + (f"{old['commit'] or '-':>10}" if old else "") + f"{found['commit'] or '-':>10}")
    for name in dict.fromkeys([*(old["figures"] if old else ()), *found["figures"]]):
        before = f"{show(old['figures'].get(name)):>10}" if old else ""
        print(f"{name:<54}{before}{show(found['figures'].get(name)):>10}")
    print(f"\n{'file of the reference':<34}{'code':>6}{'once':>6}{'maths':>7}{'plumbing':>10}{'ratio':>7}")
    for path, row in sorted(found["files"].items(), key=lambda item: -item[1]["code"]):
        maths = row.get("maths")
        plumbing = None if maths is None else row["code"] - maths
        ratio = "-" if not maths or plumbing is None else f"{plumbing / maths:.2f}"
        once = row["written_once"] or None
        print(f"{path:<34}{row['code']:>6}{show(once):>6}{show(maths):>7}{show(plumbing):>10}{ratio:>7}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
