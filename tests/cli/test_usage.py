"""The command line itself: help, versions, usage errors, completions, terminals."""
import json
import os
import pty
import re
import subprocess

import pytest

from conftest import KIMIC

COMMANDS = ["compile", "inspect", "run", "route", "simulate", "eval", "verify", "merge", "diff", "extract", "keygen",
            "sign", "serve", "doctor", "completions"]


def test_version_names_every_format(kimic):
    assert re.fullmatch(r"kimic \d+\.\d+\.\d+ \(pack 1\.0, kernel ABI 1, manifest 1\)\n", kimic("--version").stdout)


def test_version_as_json(kimic):
    version = json.loads(kimic("--version", "--json").stdout)
    assert version["schema"] == "kimic-version/1"
    assert (version["pack"], version["kernel_abi"], version["manifest"]) == ("1.0", 1, 1)


def test_help_lists_every_command(kimic):
    text = kimic("--help").stdout
    assert all(re.search(rf"^  {command}\b", text, re.M) for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(kimic, command):
    assert command in kimic(command, "--help").stdout


@pytest.mark.parametrize("arguments", [[], ["frobnicate"], ["inspect"], ["inspect", "a", "--frob"], ["compile", "x"],
                                       ["run", "a.kpk", "--data", "d"],
                                       ["run", "a.kpk", "--data", "d", "--expert", "e", "--route"],
                                       ["run", "a.kpk", "--data", "d", "--expert", "e", "--top-k", "2"],
                                       ["compile", "x", "--stop-after=frob"], ["compile", "x", "--emit=mlir", "-o", "y"],
                                       ["compile", "x", "-o", "y", "-j", "many"], ["completions", "tcsh"],
                                       ["inspect", "a", "--progress", "loud"]], ids=" ".join)
def test_wrong_usage_is_exit_code_2(kimic, arguments):
    result = kimic(*arguments, code=2)
    assert result.stdout == "" and result.stderr != ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_know_commands_and_options(kimic, shell):
    script = kimic("completions", shell).stdout
    assert all(command in script for command in COMMANDS)
    assert "top-k" in script


def complete(kimic, *words):
    script = kimic("completions", "bash").stdout
    listed = " ".join(f"'{word}'" for word in words)
    return subprocess.run(["bash", "-c", f"{script}\nCOMP_WORDS=({listed}); COMP_CWORD={len(words) - 1}; _kimic\n"
                           'printf "%s\\n" "${COMPREPLY[@]}"'], capture_output=True, text=True, check=True).stdout.split()


def test_bash_completes_commands(kimic):
    assert complete(kimic, "kimic", "comp") == ["compile", "completions"]


def test_bash_completes_options(kimic):
    assert complete(kimic, "kimic", "run", "--to") == ["--top-k"]


def test_doctor_finds_node(kimic):
    assert json.loads(kimic("doctor", "--json").stdout)["node"]["simd128"] is True


def test_doctor_lives_without_node(kimic):
    assert json.loads(kimic("doctor", "--json", env={"KIMIC_NODE": "/nonexistent"}).stdout)["node"] is None


def on_terminal(*arguments, env=None):
    """What a terminal shows: stderr is a pseudo-terminal."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen([KIMIC, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=theirs,
                             env={**os.environ, "TERM": "xterm", **(env or {})})
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # Linux's way to say that the other side is closed
        pass
    os.close(ours)
    child.wait()
    return shown.decode()


def test_errors_are_coloured_on_a_terminal():
    assert "\x1b[1;31merror:" in on_terminal("inspect", "/nonexistent", env={"NO_COLOR": ""})


def test_no_color_is_obeyed():
    assert "\x1b[1;31m" not in on_terminal("inspect", "/nonexistent", env={"NO_COLOR": "1"})


def test_progress_is_a_bar_on_a_terminal(pack):
    assert re.search(r"running \[#+\] 40/40", on_terminal("run", pack, "--route", "--data", pack.parent / "rows.data"))


def test_progress_is_lines_elsewhere(kimic, pack):
    assert "running 40/40\n" in kimic("run", pack, "--route", "--data", pack.parent / "rows.data").stderr


def test_quiet_prints_nothing_but_the_result(kimic, pack):
    result = kimic("run", pack, "--route", "--data", pack.parent / "rows.data", "-q")
    assert result.stderr == "" and len(result.stdout.splitlines()) == 40


def test_full_disk_is_a_failure(pack):
    with open("/dev/full", "w") as full:
        assert subprocess.run([KIMIC, "inspect", pack], stdout=full, stderr=subprocess.PIPE).returncode == 1
