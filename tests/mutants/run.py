"""Does a test notice? Puts one mistake after the other into a copy of the compiler and runs what has to fail then.

Enters: the names of mutants, or none for all. Leaves: a line for each, with the test that killed it, and the exit code
1 where one survives without a reason, does not apply, or breaks the tests before they begin. `--page` writes
`docs/mutants.md`. What killed is run once more without any mistake, and has to pass then.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))

from mutant import Mutant  # noqa: E402
from mutants import MUTANTS  # noqa: E402

NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "build", "dist")
PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n0", "-p", "failures")
MOST_SECONDS = 600
COMMAND = "python tests/mutants/run.py --page"

ABOVE = """\
# Mutants

Each line is one mistake that somebody could make in the compiler, and the first test that fails where it is made. No
golden file is among them: what notices is a value, a property or an independent oracle. `make mutants` makes the
mistakes again, one at a time, in a copy of the tree; `python tests/mutants/run.py NAME` makes one of them. They are
written down in `tests/mutants/`, and this page by `{command}`.

{summary}
"""


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant: `kind` is killed, survived, broken or misplaced; `said` is the test, or why."""

    mutant: Mutant
    kind: str
    said: str
    seconds: float

    @property
    def is_fine(self) -> bool:
        return self.kind == "killed" or (self.kind == "survived" and bool(self.mutant.reason))


def main() -> int:
    parser = argparse.ArgumentParser(description="Which test notices which mistake?")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--page", action="store_true", help="write docs/mutants.md")
    given = parser.parse_args()
    unknown = set(given.names) - {mutant.name for mutant in MUTANTS}
    if unknown:
        parser.error(f"no mutant is called {', '.join(sorted(unknown))}")
    chosen = [mutant for mutant in MUTANTS if not given.names or mutant.name in given.names]
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_of_the_tree(Path(folder))
        outcomes = []
        for mutant in chosen:
            outcomes.append(run_mutant(mutant, copy))
            print(line_of(outcomes[-1]), flush=True)
        outcomes = without_false_alarms(outcomes, copy)
    print(summary_of(outcomes))
    if given.page and not given.names:
        (ROOT / "docs" / "mutants.md").write_text(page_of(outcomes), encoding="utf-8")
    return 0 if all(outcome.is_fine for outcome in outcomes) else 1


def copy_of_the_tree(folder: Path) -> Path:
    """Compiled once: what Python keeps of a file is asked for the file's content, so a mistake is seen at once."""
    copy = folder / "tree"
    shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
    how = ("-q", "--invalidation-mode", "checked-hash")
    subprocess.run([sys.executable, "-m", "compileall", *how, "attnc"], cwd=copy, check=True)
    return copy


def run_mutant(mutant: Mutant, copy: Path) -> Outcome:
    path = copy / mutant.file
    text = path.read_text(encoding="utf-8")
    mistaken = mutant.applied(text)
    if mistaken is None:
        return Outcome(mutant, "misplaced", f"its text stands {text.count(mutant.before)} times", 0.0)
    path.write_text(mistaken, encoding="utf-8")
    start = time.monotonic()
    try:
        kind, said = judged(mutant, copy)
    finally:
        path.write_text(text, encoding="utf-8")
    return Outcome(mutant, kind, said, time.monotonic() - start)


def run_tests(arguments: list[str], copy: Path) -> tuple[int, list[str], str]:
    """The exit code of pytest, the tests that failed, and the end of what it said."""
    failures = copy.parent / "failures"
    failures.write_text("", encoding="utf-8")
    own = {
        "PYTHONPATH": os.pathsep.join([str(copy), str(copy / "tests" / "mutants")]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_PROFILE": "unshrunk",
        "TURNS": "1",
        "FAILURES": str(failures),
    }
    done = subprocess.run(
        [*PYTEST, *arguments],
        cwd=copy,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        timeout=MOST_SECONDS,
    )
    end = (done.stdout + done.stderr).strip().splitlines()[-8:]
    return done.returncode, failures.read_text(encoding="utf-8").splitlines(), " / ".join(end)


def judged(mutant: Mutant, copy: Path) -> tuple[str, str]:
    """Only a test that fails has noticed: what cannot be imported or collected shows nothing."""
    try:
        code, failures, end = run_tests(["-x", *mutant.arguments()], copy)
    except subprocess.TimeoutExpired:
        return "broken", f"no end after {MOST_SECONDS} seconds"
    if code == 1 and failures:
        return "killed", failures[0]
    return ("survived", "") if code == 0 else ("broken", f"pytest ends with {code}: {end}")


def without_false_alarms(outcomes: list[Outcome], copy: Path) -> list[Outcome]:
    """A test that fails without any mistake has noticed none."""
    killers = list(dict.fromkeys(outcome.said for outcome in outcomes if outcome.kind == "killed"))
    code, failures, end = run_tests(killers, copy) if killers else (0, [], "")
    if code > 1:
        failures, why = killers, f"pytest ends with {code}: {end}"
    else:
        why = "it fails without a mistake too"
    found = []
    for outcome in outcomes:
        if outcome.kind == "killed" and outcome.said in failures:
            outcome = replace(outcome, kind="broken", said=f"{outcome.said}: {why}")
            print(line_of(outcome))
        found.append(outcome)
    return found


def line_of(outcome: Outcome) -> str:
    name, kind = outcome.mutant.name, outcome.kind
    why = outcome.mutant.reason if kind == "survived" else outcome.said
    return f"{outcome.seconds:6.1f} s  {kind:9}  {name}" + (f": {why}" if why else "")


def summary_of(outcomes: list[Outcome]) -> str:
    killed = sum(outcome.kind == "killed" for outcome in outcomes)
    survive = sum(outcome.kind == "survived" for outcome in outcomes)
    return f"{len(outcomes)} mutants: {killed} killed, {survive} survive"


def page_of(outcomes: list[Outcome]) -> str:
    rows = ["| mutant | what it breaks | killed by |", "|---|---|---|"]
    for outcome in outcomes:
        mutant = outcome.mutant
        killer = f"`{outcome.said}`" if outcome.kind == "killed" else f"survives: {mutant.reason or '?'}"
        rows.append(f"| {mutant.name} | {mutant.breaks} | {killer.replace('|', chr(92) + '|')} |")
    return ABOVE.format(command=COMMAND, summary=summary_of(outcomes)) + "\n" + "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.exit(main())
