#!/usr/bin/env python3
"""Checks the documentation against the repository.

Every path in backticks that begins with a folder of the repository exists, every relative link leads somewhere, and
every ```sh block runs without an error in an empty folder that sees `examples/`, with the built `kimic` on the PATH.
A block whose commands `.ci/run` itself executes is marked by the line `<!-- run by .ci/run -->` before it.
Usage: check_docs.py BIN_DIRECTORY
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PATH = re.compile(r"`((?:formats|compiler|runtime|python|scripts|tests|docs|examples|cmake|\.ci)/[\w./-]*)`")
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
BLOCK = re.compile(r"(?P<mark><!-- run by \.ci/run -->\n)?```sh\n(?P<commands>.*?)```", re.S)


def documents():
    tracked = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in tracked.stdout.split()]


def errors_in(document: pathlib.Path, environment: dict):
    text = document.read_text()
    name = document.relative_to(ROOT)
    for match in PATH.finditer(text):
        if not (ROOT / match[1]).exists():
            yield f"{name}: `{match[1]}` does not exist"
    for match in LINK.finditer(text):
        if not (document.parent / match[1]).exists():
            yield f"{name}: link to {match[1]} leads nowhere"
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(ROOT / "examples", pathlib.Path(folder) / "examples")
        os.symlink(ROOT / "runtime", pathlib.Path(folder) / "runtime")
        for match in BLOCK.finditer(text):
            if match["mark"]:
                continue
            # Blocks of one document share a folder, so that a later one may use what an earlier one made.
            run = subprocess.run(["bash", "-euo", "pipefail", "-c", match["commands"]], cwd=folder, env=environment,
                                 capture_output=True, text=True)
            if run.returncode:
                yield f"{name}: exit {run.returncode} from\n{match['commands']}{run.stdout}{run.stderr}"


def main() -> int:
    binaries = pathlib.Path(sys.argv[1]).resolve()
    environment = dict(os.environ, PATH=f"{binaries}:{os.environ['PATH']}",
                       KIMIC_NATIVE_CACHE=str(binaries.parent / "native-kernels"))
    found = [error for document in documents() for error in errors_in(document, environment)]
    print("\n".join(found) if found else "docs: every path exists, every link leads somewhere, every command runs")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
