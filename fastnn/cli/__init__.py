"""The command line: ``fastnn COMMAND``.

A command is a module with a one-line ``SUMMARY``, a frozen dataclass ``Config`` whose fields are its options
(``options.option``), and ``run(config)``; it is added to ``COMMANDS``. If it has ``configure(typed)``, that makes the
configuration of the options that were typed. ``session`` turns what goes wrong into one line on stderr and an exit
code.
"""

import functools
import sys
from collections.abc import Sequence
from typing import Any

from fastnn_ref.shared.shards import abort

from .. import __version__
from . import compare, evaluate, export, info, lab, options, predict, train
from .session import Session, UsageError, require_output

COMMANDS = {
    "train": train, "evaluate": evaluate, "predict": predict, "export": export, "info": info, "compare": compare,
    "lab": lab,
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """The command ``fastnn`` with these arguments, by default those of the process; returns the exit code.

    0: it worked. 1: it did not. 2: the arguments are wrong. 128 + n: signal n stopped it (Ctrl-C: 130), or nobody
    reads its output (141, as by SIGPIPE). One line on stderr says what happened.

    >>> from fastnn.cli import main
    >>> main(["--version"])  # doctest: +ELLIPSIS
    fastnn ...
    0
    """
    session = Session("fastnn")
    with session:
        require_output()
        parser = options.Parser(
            prog="fastnn", description="Small neural networks: a NumPy reference and a C engine.", allow_abbrev=False
        )
        parser.add_argument("--version", action="version", version=f"fastnn {__version__}")
        commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
        for name, module in COMMANDS.items():
            command = commands.add_parser(
                name, help=module.SUMMARY, allow_abbrev=False,
                description=f"{module.SUMMARY[:1].upper()}{module.SUMMARY[1:]}.",       # capitals inside stay
            )
            command.set_defaults(command=name, prog=command.prog)
            options.add(command, module.Config)
        given, unknown = parser.parse_known_args(argv)
        values = vars(given)
        session.prog, module = values.pop("prog"), COMMANDS[values.pop("command")]
        if unknown:
            raise UsageError(f"unknown argument: {' '.join(unknown)} (see {session.prog} --help)")
        configure = getattr(module, "configure", functools.partial(options.configured, module.Config))
        module.run(configure(values))
    end_job(session.code)
    return session.code


def end_job(code: int) -> None:
    """Where one of several ranks of MPI has failed, the others would wait for it."""
    mpi: Any = sys.modules.get("mpi4py.MPI")
    if code and mpi is not None and mpi.COMM_WORLD.Get_size() > 1:
        abort(mpi.COMM_WORLD, code)
