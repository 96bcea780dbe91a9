#!/usr/bin/env python3
"""Counts the instructions that a program executes, by valgrind: a limit that does not depend on the machine's load.

    check_cost.py VALGRIND LIMIT [--in FUNCTION] PROGRAM [ARGUMENT...]

With --in, only instructions of that function and what it calls count. A program that exits with 77 had nothing to do
here; so does this one then.
"""
import re
import subprocess
import sys

SKIPPED = 77

valgrind, limit, *command = sys.argv[1:]
options = ["--tool=callgrind", "--callgrind-out-file=/dev/null"]
if command[0] == "--in":
    options.append(f"--toggle-collect={command[1]}")
    command = command[2:]
result = subprocess.run([valgrind, *options, *command], capture_output=True, text=True)
if result.returncode == SKIPPED:
    sys.exit(SKIPPED)
found = re.search(r"Collected : (\d+)", result.stderr)
if result.returncode != 0 or not found or int(found[1]) == 0:
    sys.exit(f"check_cost: exit code {result.returncode}\n{result.stdout}{result.stderr}")
instructions = int(found[1])
print(f"{instructions:,} instructions, at most {float(limit):,.0f}")
sys.exit(instructions > float(limit))
