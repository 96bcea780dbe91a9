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


def expected_tile_loop() -> Counter:
    """Per pair of inputs of four rows and eight outputs: one load, one shift, and for each row a splat, two dot products
    and two sums; two pointers."""
    return Counter({
        "v128.load": 1,
        "v128.load32_splat": 4,
        "i16x8.shr_s": 1,
        "i32x4.dot_i16x8_s": 8,
        "i32x4.add": 8,
        "i32.const": 3,
        "i32.add": 2,
        "i32.ne": 1,
        "br_if": 1,
        # Locals: the two pointers, the words, their high halves, a splat and two accumulators per row.
        "local.get": 28,
        "local.set": 10,
        "local.tee": 6,
    })


def expected_row_loop(weights: int, codes: int) -> Counter:
    """Per eight inputs: the codes of each row, the weights of each output, which are widened, and for each pair of them
    a dot product and a sum; two pointers."""
    sums = weights * codes
    return Counter({
        "v128.load": codes,
        "v128.load8x8_s": weights,
        "i32x4.dot_i16x8_s": sums,
        "i32x4.add": sums,
        "i32.const": 2,
        "i32.add": 2,
        "i32.ne": 1,
        "br_if": 1,
        # Locals: the two pointers, the sums, and what is used several times.
        "local.get": 3 * sums + 3,
        "local.set": sums + 1,
        "local.tee": 2 if sums > 1 else 1,
    })


def expected_float_loop(vectors: int, rows: int) -> Counter:
    """Per value of each row: one splat, and for each four outputs one load, one product and one sum; two pointers."""
    sums = vectors * rows
    is_tile = rows > 1
    return Counter({
        "v128.load32_splat": rows,
        "v128.load": vectors,
        "f32x4.mul": sums,
        "f32x4.add": sums,
        "i32.const": 2,
        "i32.add": 2,
        "i32.ne": 1,
        "br_if": 1,
        # Locals: the two pointers, the splats, one accumulator per row and four outputs, and weights used several times.
        "local.get": 3 * sums + (5 if is_tile else 3),
        "local.set": sums + (3 if is_tile else 1),
        "local.tee": rows + 1,
    })


def expected_tanh_loop(vectors: int, is_last: bool) -> Counter:
    """Per four sums: both loads, convert and scale, two bounds, 11 operations and a division, and rounding; per eight
    codes a narrowing store, or one per four outputs; three pointers."""
    return Counter({
        "v128.load": 2 * vectors,
        "f32x4.convert_i32x4_s": vectors,
        "f32x4.mul": 7 * vectors,
        "f32x4.pmax": vectors,
        "f32x4.pmin": vectors,
        "f32x4.add": (5 if is_last else 6) * vectors,
        "f32x4.div": vectors,
        "i32x4.sub": 0 if is_last else vectors,
        "i16x8.narrow_i32x4_s": 0 if is_last else vectors // 2,
        "v128.store": vectors if is_last else vectors // 2,
    })


def check_loops(name: str, loops: list[Counter], expected_loops: list[Counter], with_locals: bool = True) -> int:
    """Prints and counts the differences; without locals, what moves values and pointers may be anything."""
    failures = 0
    for i, (loop, expected) in enumerate(zip(loops, expected_loops, strict=True)):
        for instruction in sorted(set(loop) | set(expected)):
            is_plumbing = instruction.startswith(("local.", "i32.", "br_"))
            if loop[instruction] != expected[instruction] and (with_locals or not is_plumbing):
                print(f"{name} {i}: {loop[instruction]} {instruction}, expected {expected[instruction]}", file=sys.stderr)
                failures += 1
    return failures


def check_inner_loops(path: Path) -> int:
    int8, residual, float32 = ([Counter(instruction.split()[0] for instruction in loop)
                                for loop in innermost_loops(body)] for body in functions(path)[:3])
    failures = 0
    # A layer's tiles come first, then the code for single rows. In int8, 128 and 64 outputs are full blocks of 32, the
    # last 16 are a block of two groups. Tiles work on one residual row at a time, single rows on four and on the rest
    # one by one. In f32 all blocks are full ones of 16.
    tile, blocks = expected_tile_loop(), [expected_inner_loop(groups) for groups in (4, 4, 2)]
    rows = [expected_row_loop(1, 4), expected_row_loop(4, 1), expected_row_loop(1, 1)]
    products = [loop for loop in int8 if loop["i16x8.shr_s"]]
    failures += check_loops("loop of int8", products, [tile, blocks[0], tile, blocks[1], tile, blocks[2]])
    products = [loop for loop in residual if loop["v128.load8x8_s"]]
    failures += check_loops("loop of residual rows", products, rows * 3)
    products = [loop for loop in float32 if loop["v128.load32_splat"]]
    failures += check_loops("loop of float32", products, [expected_float_loop(2, 4), expected_float_loop(4, 1)] * 3)
    activations = [loop for loop in int8 if loop["f32x4.div"]]
    failures += check_loops("loop of tanh", activations,
                            [expected_tanh_loop(4, False), expected_tanh_loop(4, False), expected_tanh_loop(2, True)], False)
    print(f"inner loop of 32 outputs: 20 operations and 5 loads of {expected_inner_loop(4).total()} instructions; "
          f"of 4 rows and 8 outputs: 17 and 5 of {tile.total()}; of four rows of weights: 8 and 5 of "
          f"{expected_row_loop(4, 1).total()}; of 16 outputs in f32: 8 and 5 of {expected_float_loop(4, 1).total()}, "
          f"of 4 rows and 8: 16 and 6 of {expected_float_loop(2, 4).total()}")
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
