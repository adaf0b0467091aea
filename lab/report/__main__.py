"""`python -m lab.report RUN_DIR`: judge the tables of a finished run once more, and write its report anew."""

import sys
from pathlib import Path

from lab.errors import UserError
from lab.run.judge_again import judge_again

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m lab.report RUN_DIR")
    try:
        judged = judge_again(Path(sys.argv[1]))
    except UserError as error:
        sys.stderr.write("\n".join([*error.faults, ""]))
        sys.exit(2)
    sys.stdout.write(f"{judged.report}\n")
    sys.exit(judged.verdict.exit_status)
