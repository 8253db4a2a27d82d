"""The ``bench`` command: one file a subcommand, each of which parses and calls a library function.

Nothing heavy is imported before a subcommand runs, so that ``bench --help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from refseg.bench.cli.interrupt import ends_soon
from refseg.bench.errors import InputError, RefsegError, printable, told

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code.

    Codes: 0 done; 2 the input or the call is wrong; 3 done with failed videos; 4 a regression; 130
    interrupted; 1 a fault of this program. Errors are one sentence on stderr; ``REFSEG_DEBUG=1`` adds the
    traceback.
    """
    from refseg.bench.cli.parser import build_parser

    try:
        args = build_parser().parse_args(argv)
        with ends_soon(_tell_interrupted, INTERRUPTED):
            code: int = args.run(args)
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        _tell_interrupted()
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) went away; Python must not complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except RefsegError as error:
        _tell(str(error))
        return error.exit_code
    except OSError as error:
        if error.filename is None:
            return _fault(error)
        _tell(f"{error.filename}: {error.strerror}")
        return InputError.exit_code
    except Exception as error:
        return _fault(error)


def _tell_interrupted() -> None:
    _tell("interrupted; what is done is kept, and the same command goes on from there")


def _fault(error: Exception) -> int:
    text = " ".join(str(error).split())
    _tell(f"a fault of this program, {type(error).__name__}: {text} (REFSEG_DEBUG=1 shows where)")
    return 1


def _tell(text: str) -> None:
    if os.environ.get("REFSEG_DEBUG"):
        import traceback

        traceback.print_exc()
    sentence, _, below = text.partition("\n")
    print(f"bench: {told(sentence)}", file=sys.stderr)
    # A drawing of a folder, or a program's last words: of no use in one line.
    for line in below.splitlines():
        print(f"  {printable(line)}", file=sys.stderr)
