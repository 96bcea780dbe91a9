"""The emitted kernel modules under wabt and Binaryen: all are valid, and the inner loop is what it is said to be.

    check_modules.py DIRECTORY

DIRECTORY holds group<i>.<variant>.wasm as EmitVectors.cpp writes them; functions 0 to 2 of group0.simd128.wasm are the
kernels of 64-128-64-16 with tanh in int8, in int8 with residuals, and in f32.
"""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def functions(path: Path) -> list[list[str]]:
    """Per function its instructions, `br_if 0` and the like with their immediates."""
    parts = re.split(r"^[0-9a-f]+ func\[\d+\].*:$", run("wasm-objdump", "-d", str(path)), flags=re.MULTILINE)[1:]
    return [[line.split("|", 1)[1].strip() for line in part.splitlines() if "|" in line] for part in parts]


def innermost_loops(instructions: list[str]) -> list[list[str]]:
    loops, open_loops = [], []
    for instruction in instructions:
        if instruction.startswith("loop"):
            open_loops.append([])
        elif instruction == "end" and open_loops:
            body = open_loops.pop()
            if body is not None:
                loops.append(body)
            open_loops = [None] * len(open_loops)  # a loop around another one is not innermost
        elif open_loops and open_loops[-1] is not None:
            open_loops[-1].append(instruction)
    return loops


def expected_inner_loop(groups: int) -> Counter:
    """Per pair of inputs: one splat, and for each eight outputs one load and five operations; two pointers move on."""
    return Counter({
        "v128.load32_splat": 1,
        "v128.load": groups,
        "i32x4.dot_i16x8_s": 2 * groups,
        "i32x4.add": 2 * groups,
        "i16x8.shr_s": groups,
        "i32.const": groups + 2,
        "i32.add": 2,
        "i32.ne": 1,
        "br_if": 1,
        # Locals: the two pointers, the splat, the words and two accumulators per eight outputs.
        "local.get": 6 * groups + 3,
        "local.set": 2 * groups + 1,
        "local.tee": groups + 2,
    })


def expected_float_loop(vectors: int) -> Counter:
    """Per value: one splat, and for each four outputs one load, one product and one sum; two pointers move on."""
    return Counter({
        "v128.load32_splat": 1,
        "v128.load": vectors,
        "f32x4.mul": vectors,
        "f32x4.add": vectors,
        "i32.const": 2,
        "i32.add": 2,
        "i32.ne": 1,
        "br_if": 1,
        # Locals: the two pointers, the splat and one accumulator per four outputs.
        "local.get": 3 * vectors + 3,
        "local.set": vectors + 1,
        "local.tee": 2,
    })


def expected_row_loop(rows: int) -> Counter:
    """Per eight inputs: the codes, and for each row one widening load, one dot product and one sum; two pointers."""
    return Counter({
        "v128.load": 1,
        "v128.load8x8_s": rows,
        "i32x4.dot_i16x8_s": rows,
        "i32x4.add": rows,
        "i32.const": 2,
        "i32.add": 2,
        "i32.ne": 1,
        "br_if": 1,
        # Locals: the two pointers, one accumulator per row, and the codes if there are several rows.
        "local.get": 3 * rows + 3,
        "local.set": rows + 1,
        "local.tee": 2 if rows > 1 else 1,
    })


def check_inner_loops(path: Path) -> int:
    int8, residual, float32 = ([Counter(instruction.split()[0] for instruction in loop)
                                for loop in innermost_loops(body)] for body in functions(path)[:3])
    # In int8, 128 and 64 outputs are full blocks of 32, the last 16 are a block of two groups. Residual rows are summed
    # four at a time, then one by one. In f32 all blocks are full ones of 16.
    blocks = [expected_inner_loop(groups) for groups in (4, 4, 2)]
    expectations = [
        ("int8", int8, "i16x8.shr_s", blocks),
        ("int8 + residual", residual, "i16x8.shr_s", blocks),
        ("rows of int8 + residual", residual, "v128.load8x8_s", [expected_row_loop(rows) for rows in (4, 1)] * 3),
        ("float32", float32, "v128.load32_splat", [expected_float_loop(4)] * 3),
    ]
    failures = 0
    for name, loops, mark, expected_loops in expectations:
        products = [loop for loop in loops if loop[mark]]
        for i, (loop, expected) in enumerate(zip(products, expected_loops, strict=True)):
            for instruction in sorted(set(loop) | set(expected)):
                if loop[instruction] != expected[instruction]:
                    print(f"inner loop {i} of {name}: {loop[instruction]} {instruction}, "
                          f"expected {expected[instruction]}", file=sys.stderr)
                    failures += 1
    print(f"inner loop of 32 outputs: 20 operations and 5 loads of {expected_inner_loop(4).total()} instructions; "
          f"of four rows: 8 and 5 of {expected_row_loop(4).total()}; "
          f"of 16 in f32: 8 and 5 of {expected_float_loop(4).total()}")
    return failures


def main() -> int:
    directory = Path(sys.argv[1])
    modules = sorted(directory.glob("group*.wasm"))
    failures = 0
    for path in modules:
        # A scalar kernel may not need the engine to know SIMD.
        is_scalar = ".scalar." in path.name
        run("wasm-validate", *(["--disable-simd"] if is_scalar else []), str(path))
        run("wasm-opt", *([] if is_scalar else ["--enable-simd"]), str(path), "-o", "/dev/null")
        constants = sum(text.startswith("v128.const") for body in functions(path) for text in body)
        if constants:
            print(f"{path.name}: {constants} v128.const, expected none", file=sys.stderr)
            failures += 1
    print(f"{len(modules)} modules are valid")
    failures += check_inner_loops(directory / "group0.simd128.wasm")
    return 1 if failures or not modules else 0


if __name__ == "__main__":
    sys.exit(main())
