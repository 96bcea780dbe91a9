#!/usr/bin/env python3
"""Counts the instructions of one quantization, by valgrind: a limit that does not depend on the machine's load.

    check_cost.py VALGRIND QUANTIZE_COST
"""
import re
import subprocess
import sys

# 64-96-32-8 on 600 rows took 2.13e9 when this was written: about 1.1 s for 50,000 parameters and 2,000 rows.
SHAPE = ["600", "64", "96", "32", "8"]
LIMIT = 3.2e9

valgrind, program = sys.argv[1:]
result = subprocess.run([valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null", program, *SHAPE],
                        capture_output=True, text=True)
found = re.search(r"Collected : (\d+)", result.stderr)
if result.returncode != 0 or not found:
    sys.exit(f"check_cost: exit code {result.returncode}\n{result.stdout}{result.stderr}")
instructions = int(found[1])
print(f"{instructions:,} instructions, at most {LIMIT:,.0f}")
sys.exit(instructions > LIMIT)
