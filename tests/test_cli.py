"""What a person types, what they see, and the exit code. Nothing that can be typed shows a traceback."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from turns import in_turn

import attnc
from attnc.cli import commands, main
from attnc.compiler import STAGES, Compilation
from attnc.errors import CompilerBug
from attnc.options import OPTIONS
from attnc.source import Source

ROOT = Path(__file__).parent.parent
SLIDING = ROOT / "examples/sliding_window.attn"
CAUSAL = "attention causal():\n    mask j <= i\n"
WRONG = "attention wrong():\n    mask j <= ii\n"
TWO = "attention one():\n    mask j <= i\n\nattention two():\n    mask i <= j\n"

Shell = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test works in an empty directory of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: Shell, *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, out, err


def attnc_process(*arguments: str, **keywords: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "attnc", *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, env=env, timeout=60, check=False, **keywords)


# ---- check -----------------------------------------------------------------------------------------


def test_check_says_what_a_file_holds(capsys: Shell, here: Path) -> None:
    Path("causal.attn").write_text(CAUSAL)
    Path("two.attn").write_text(TWO)
    Path("masks.attn").write_text("def near(w) = abs(i - j) < w\n")
    code, out, err = run(capsys, "check", "causal.attn", "two.attn", "masks.attn")
    assert (code, err) == (0, "")
    assert out == "causal.attn: ok, causal\ntwo.attn: ok, one, two\nmasks.attn: ok, a library of macros\n"


def test_check_reports_every_file(capsys: Shell, here: Path) -> None:
    Path("causal.attn").write_text(CAUSAL)
    Path("wrong.attn").write_text(WRONG)
    code, out, err = run(capsys, "check", "missing.attn", "wrong.attn", "causal.attn", ".")
    assert code == 1
    assert out == "causal.attn: ok, causal\n"
    assert err.count("error[") == 3
    assert "cannot read `missing.attn`" in err
    assert " --> wrong.attn:2:15\n" in err


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\x00", b"\x00" * 100, b"(" * 5000, b"attention a(" + b"x" * 10**5, b"\xf0\x9f\x98\x80"],
)
@pytest.mark.parametrize(
    "command", [["check"], ["explain"], ["show", "--stage", "ir"], ["fmt"]], ids=lambda c: c[0]
)
def test_any_file_is_answered(capsys: Shell, here: Path, command: list[str], content: bytes) -> None:
    Path("any.attn").write_bytes(content)
    code, _, err = run(capsys, *command, "any.attn")
    assert code in (0, 1)
    assert code == 0 or "error[" in err
    assert Path("any.attn").read_bytes() == content


def test_a_name_with_control_characters_does_not_reach_the_terminal(capsys: Shell) -> None:
    code, _, err = run(capsys, "check", "\033[31mred.attn")
    assert code == 1
    assert "\033" not in err


def test_color_is_for_terminals_only(capsys: Shell, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("wrong.attn").write_text(WRONG)
    assert "\033" not in run(capsys, "check", "wrong.attn")[2]
    for no_color, colored in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", no_color)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        assert ("\033" in run(capsys, "check", "wrong.attn")[2]) is colored


# ---- explain and show ------------------------------------------------------------------------------


def test_explain_a_file(capsys: Shell) -> None:
    code, out, _ = run(capsys, "explain", str(SLIDING))
    assert code == 0
    assert out.startswith("sliding_window  (")
    assert [line.split()[0] for line in out.splitlines() if line[:1].isalpha()][1:] == [
        "keys",
        "queries",
        "rows",
        "weights",
        "linear",
        "plan",
        "cost",
    ]


def test_explain_as_json(capsys: Shell) -> None:
    code, out, _ = run(capsys, "explain", str(SLIDING), "--json")
    found = json.loads(out)
    assert code == 0
    assert found["attention"] == "sliding_window"
    assert found["keys"]["visited"] == [["first(i) - window + 1", "last(i) + 1"]]
    assert found["rows"]["can_be_empty"] in (True, False)


def test_explain_a_code(capsys: Shell) -> None:
    code, out, _ = run(capsys, "explain", "unknown-name")
    assert code == 0
    assert out == (ROOT / "docs/errors/unknown-name.md").read_text()
    code, _, err = run(capsys, "explain", "unknown-nam")
    assert code == 1
    assert "did you mean `unknown-name`?" in err
    assert run(capsys, "explain", "../errors/unknown-name")[0] == 1


def test_a_file_with_the_name_of_a_code_is_a_file(capsys: Shell, here: Path) -> None:
    Path("unknown-name").write_text(CAUSAL)
    assert run(capsys, "explain", "unknown-name")[1].startswith("causal  (unknown-name:1)")


@pytest.mark.parametrize("stage", STAGES)
def test_show_prints_every_stage(capsys: Shell, stage: str) -> None:
    code, out, err = run(capsys, "show", str(SLIDING), "--stage", stage)
    assert (code, err) == (0, "")
    source = Source(str(SLIDING), SLIDING.read_text())
    assert out.strip() == Compilation(source).show(stage).strip()


def test_name_chooses(capsys: Shell, here: Path) -> None:
    Path("two.attn").write_text(TWO)
    code, _, err = run(capsys, "show", "two.attn", "--stage", "ir")
    assert code == 1
    assert "holds several attentions: `one`, `two`" in err
    assert run(capsys, "show", "two.attn", "--stage", "ir", "--name", "two")[1].startswith("attention two\n")


def test_every_option_that_shapes_the_text_is_a_flag(capsys: Shell) -> None:
    text = " ".join(run(capsys, "build", "--help")[1].split())
    for option in OPTIONS:
        flag = f"--{option.name.replace('_', '-')}"
        has_flag = option.in_text and option.has_flag
        assert (flag in text) is has_flag
        assert not has_flag or option.help in text


# ---- fmt -------------------------------------------------------------------------------------------

LOOSE = "attention   causal( ):\n  mask  j<=i # the past\n"


def test_fmt_rewrites_in_place_and_only_once(capsys: Shell, here: Path) -> None:
    path = Path("loose.attn")
    path.write_text(LOOSE)
    assert run(capsys, "fmt", "--check", "loose.attn") == (1, "loose.attn: would change\n", "")
    assert path.read_text() == LOOSE
    assert run(capsys, "fmt", "loose.attn") == (0, "loose.attn: formatted\n", "")
    assert path.read_text() != LOOSE
    assert "# the past" in path.read_text()
    assert run(capsys, "fmt", "--check", "loose.attn") == (0, "", "")
    stamp = path.stat().st_mtime_ns
    assert run(capsys, "fmt", "loose.attn") == (0, "", "")
    assert path.stat().st_mtime_ns == stamp


def test_fmt_leaves_what_it_cannot_read(capsys: Shell, here: Path) -> None:
    Path("broken.attn").write_text("attention broken(\n")
    Path("loose.attn").write_text(LOOSE)
    code, out, err = run(capsys, "fmt", "broken.attn", "loose.attn")
    assert (code, out) == (1, "loose.attn: formatted\n")
    assert "broken.attn:1" in err
    assert Path("broken.attn").read_text() == "attention broken(\n"


def test_fmt_is_a_filter() -> None:
    loose = LOOSE.replace("past", "paßt ∀")
    done = attnc_process("fmt", "-", input=loose.encode())
    assert done.returncode == 0
    assert "# the paßt ∀" in done.stdout.decode()
    assert attnc_process("fmt", "-", input=done.stdout).stdout == done.stdout
    assert attnc_process("fmt", "--check", "-", input=loose.encode()).returncode == 1
    assert b"is not UTF-8" in attnc_process("fmt", "-", input=b"\xff").stderr


# ---- new -------------------------------------------------------------------------------------------


def test_new_writes_a_spec_that_is_fine(capsys: Shell, here: Path) -> None:
    assert run(capsys, "new", "my_window")[0] == 0
    code, out, err = run(capsys, "check", "my_window.attn")
    assert (code, out, err) == (0, "my_window.attn: ok, my_window\n", "")
    assert run(capsys, "fmt", "--check", "my_window.attn") == (0, "", "")


def test_new_overwrites_nothing(capsys: Shell, here: Path) -> None:
    Path("mine.attn").write_text("precious")
    code, _, err = run(capsys, "new", "mine.attn")
    assert code == 1
    assert "`mine.attn` exists and is left as it is" in err
    assert Path("mine.attn").read_text() == "precious"


@pytest.mark.parametrize(
    "name", ["", "two words", "3d", "a-b", "softmax", "q", "mask", "class", "nowhere/name"]
)
def test_new_refuses_names_that_cannot_be(capsys: Shell, here: Path, name: str) -> None:
    code, _, err = run(capsys, "new", name)
    assert code == 1
    assert "error[" in err
    assert list(here.iterdir()) == []


# ---- the line itself, and how it ends --------------------------------------------------------------


def test_help_lists_the_commands_in_the_order_of_use(capsys: Shell) -> None:
    code, out, _ = run(capsys, "--help")
    names = [command.name for command in commands.COMMANDS]
    listed = [line.split()[0] for line in out.split("Commands:")[1].splitlines() if line.strip()]
    assert (code, listed) == (0, names)
    assert run(capsys, "--version")[1] == f"attnc {attnc.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["check"], ["check", "--nonsense"], ["show", "x"], ["show", "x", "--stage", "soul"], ["explain"],
     ["explain", "a", "b"], ["show", "x", "--stage", "ir", "--check-sorted", "maybe"], ["build", "x"], ["fmt"]],
)  # fmt: skip
def test_a_line_that_makes_no_sense(capsys: Shell, arguments: list[str]) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert "Error: " in err


@pytest.mark.parametrize(
    "bug", [CompilerBug("no case for Maybe()"), KeyError("spec"), RecursionError("too deep")]
)
def test_a_bug_says_so_and_keeps_the_story(
    capsys: Shell, here: Path, monkeypatch: pytest.MonkeyPatch, bug: Exception
) -> None:
    def fail(self: Compilation, *_: object) -> None:
        raise bug

    monkeypatch.setattr(Compilation, "explain", fail)
    Path("causal.attn").write_text(CAUSAL)
    monkeypatch.setattr(sys, "argv", ["attnc", "explain", "causal.attn"])
    code, _, err = run(capsys, "explain", "causal.attn")
    assert code == 3
    assert "this is a bug in attnc" in err
    story = Path(err.split(" is in ")[-1].strip()).read_text()
    assert "Traceback" in story
    assert CAUSAL in story


def test_ctrl_c_ends_quietly(capsys: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: Compilation, *_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Compilation, "explain", interrupt)
    code, _, err = run(capsys, "explain", str(SLIDING))
    assert (code, err.strip()) == (130, "stopped")


def test_ctrl_c_in_a_process(here: Path) -> None:
    program = "import sys; from attnc.cli.main import main; print('here', flush=True); sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "fmt", "-"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        # A shell starts what runs in its background deaf to Ctrl-C, and a child inherits that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert process.stdout and process.stdout.readline() == b"here\n"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)  # it waits for its input
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err.decode().strip()) == (130, "stopped")


@pytest.mark.parametrize("lines", [1, 20_000])
def test_a_closed_pipe_ends_quietly(here: Path, lines: int) -> None:
    read, write = os.pipe()
    os.close(read)
    spec = CAUSAL + "".join(f"\nattention a{n}():\n    mask j <= i\n" for n in range(lines // 40))
    Path("many.attn").write_text(spec)
    done = subprocess.run(
        [sys.executable, "-m", "attnc", "show", "--stage", "tree", "many.attn"],
        stdout=write, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60, check=False,
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_full_disk_is_a_sentence() -> None:
    command = [sys.executable, "-m", "attnc", "show", "--stage", "ir", str(SLIDING)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=env, timeout=60, check=False)
    assert done.returncode == 1
    assert b"no space left on device" in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


def test_a_terminal_that_knows_only_ascii(here: Path) -> None:
    Path("wrong.attn").write_text("attention wrong():\n    mask j <= größe\n")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "attnc", "check", "wrong.attn"]
    done = subprocess.run(command, capture_output=True, env=env, timeout=60, check=False)
    assert done.returncode == 1
    assert b"error[" in done.stderr


def test_main_takes_its_streams_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert main(["--version"]) == 0


# ---- what is loaded --------------------------------------------------------------------------------

HEAVY = ("torch", "triton", "sympy", "numpy")


@pytest.mark.parametrize(
    "code",
    [
        "import attnc",
        "import attnc; attnc.install_importer('p')",
        "from attnc.cli import main; main(['--help'])",
        f"from attnc.cli import main; main(['check', {str(SLIDING)!r}])",
        f"from attnc.cli import main; main(['fmt', '--check', {str(SLIDING)!r}])",
        "from attnc.cli import main; main(['explain', 'unknown-name'])",
    ],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    report = f"\nimport sys; print('loaded:', *[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code + report], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.splitlines()[-1].strip() == "loaded:"


def test_tiles_are_counted_by_numpy_alone() -> None:
    code = f"from attnc.cli import main; main(['explain', {str(SLIDING)!r}])"
    report = f"\nimport sys; print('loaded:', *[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code + report], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.splitlines()[-1].strip() == "loaded: numpy"


# Hidden ones stand for packages that are not installed.
HIDE = "import sys; sys.modules.update({name: None for name in sys.argv[1].split()}); from attnc.cli import main; "
RUN = "sys.exit(main(sys.argv[2:]))"
HIDDEN = ("torch", "numpy", "torch triton numpy sympy")
COMMANDS = ("plot", "verify --quick", "explain", "inspect", "bench", "build -o -")
# In each turn every command, and everything that may be hidden.
WITHOUT = [(command, HIDDEN[(at + row) % 3]) for at, command in enumerate(COMMANDS) for row in range(3)]


@pytest.mark.parametrize(("command", "hidden"), in_turn(WITHOUT, turns=3))
def test_a_package_that_is_not_there(command: str, hidden: str) -> None:
    """It is named, or not needed; it is no bug of ours."""
    name, *options = command.split()
    words = [sys.executable, "-c", HIDE + RUN, hidden, name, str(SLIDING), *options]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
    assert "bug" not in done.stderr and "Traceback" not in done.stderr
    if done.returncode:
        assert any(
            f"install it: `pip install {name}" in done.stderr for name in (*hidden.split(), "attnc[plot]")
        )


@pytest.mark.parametrize("command", ["plot", "verify"])
def test_without_torch(command: str) -> None:
    words = [sys.executable, "-c", HIDE + RUN, "torch", command, str(SLIDING)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert done.stderr.removeprefix("verifying\n") == (
        f"error[missing-package]: `attnc {command}` needs torch, which is not installed\n"
        "= help: install it: `pip install torch`\n"
    )
