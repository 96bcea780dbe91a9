"""Each operation of the wasm dialect is the instruction that it is named after.

Reads the operations from TableGen, writes one function for each, and checks that the text form reads back the same and
that wasm-objdump finds exactly that instruction, with the immediates given, in the encoded function.

    every_instruction.py SOURCE_DIRECTORY TBLGEN LLVM_INCLUDE KIMIC_OPT KIMIC_TRANSLATE
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

VALUES = {"Wasm_I32": ("%i", "i32"), "Wasm_F32": ("%f", "f32"), "Wasm_Vec": ("%v", "!wasm.v128")}
ATTRIBUTES = {"offset": ("300 : i64", "300"), "align": ("0 : i32", "0"), "lane": ("1 : i32", "1")}
SHUFFLE = list(range(15, -1, -1))


def run(*command: str, **options) -> bytes:
    return subprocess.run(command, check=True, capture_output=True, **options).stdout


def records(source: Path, tblgen: str, include: str) -> list[dict]:
    text = run(tblgen, "-dump-json", "-I", include, "-I", str(source), str(source / "compiler/Dialect/Wasm/Wasm.td"))
    table = json.loads(text)
    found = [table[name] for name in table["!instanceof"]["Wasm_InstructionOp"]]
    return sorted(found, key=lambda record: record["opcode"])


def write(record: dict) -> tuple[str, str]:
    """The operation in generic form, and its disassembly."""
    name = record["instructionName"]
    operands, types, attributes, immediates = [], [], [], {}
    for constraint, argument in record["arguments"]["args"]:
        kind = constraint["def"]
        if name == "select":
            kind = {"first": "Wasm_F32", "second": "Wasm_F32", "condition": "Wasm_I32"}[argument]
        if kind in VALUES:
            operands.append(VALUES[kind][0])
            types.append(VALUES[kind][1])
        elif argument in ATTRIBUTES:
            attributes.append(f"{argument} = {ATTRIBUTES[argument][0]}")
            immediates[argument] = ATTRIBUTES[argument][1]
        elif argument == "lanes":
            attributes.append(f"lanes = array<i8: {', '.join(map(str, SHUFFLE))}>")
            words = [sum(SHUFFLE[4 * w + b] << 8 * b for b in range(4)) for w in range(4)]
            immediates[argument] = " ".join(f"0x{word:08x}" for word in words)
        else:
            assert argument == "value", argument
            attributes.append("value = -70 : i32" if name == "i32.const" else "value = 0.5 : f32")
            immediates[argument] = "4294967226" if name == "i32.const" else "0x1p-1"
    results = [constraint["def"] for constraint, _ in record["results"]["args"]]
    result = "f32" if name == "select" else VALUES[results[0]][1] if results else ""
    properties = f" <{{{', '.join(attributes)}}}>" if attributes else ""
    operation = f'"wasm.{name}"({", ".join(operands)}){properties} : ({", ".join(types)}) -> ({result})'
    body = f"%r = {operation}\n    wasm.return %r : {result}" if result else f"{operation}\n    wasm.return"
    arrow = f" -> {result}" if result else ""
    function = f"  wasm.func @f(%i: i32, %f: f32, %v: !wasm.v128){arrow} {{\n    {body}\n  }}\n"
    order = ["value", "lanes", "align", "offset", "lane"]
    return function, " ".join([name] + [immediates[key] for key in order if key in immediates])


def main() -> int:
    source, tblgen, include, opt, translate = sys.argv[1:]
    instructions = [write(record) for record in records(Path(source), tblgen, include)]
    functions = [function.replace("@f(", f"@f{i}(") for i, (function, _) in enumerate(instructions)]
    module = 'wasm.module memory "env" "memory" {\n' + "".join(functions) + "}\n"

    printed = run(opt, "-", input=module.encode())
    if run(opt, "-", input=printed) != printed:
        print("the text form does not read back as it was printed", file=sys.stderr)
        return 1

    failures = 0
    with tempfile.TemporaryDirectory() as directory:
        path = str(Path(directory) / "every.wasm")
        Path(path).write_bytes(run(translate, "--mlir-to-wasm", "-", input=printed))
        run("wasm-validate", path)
        listing = run("wasm-objdump", "-d", path).decode()
    bodies = re.split(r"^[0-9a-f]+ func\[\d+\].*:$", listing, flags=re.MULTILINE)[1:]
    assert len(bodies) == len(instructions), (len(bodies), len(instructions))
    for body, (_, expected) in zip(bodies, instructions):
        found = [line.split("|", 1)[1].strip() for line in body.splitlines() if "|" in line]
        found = [text for text in found if not text.startswith("local.get") and text not in ("end", "")]
        if found != [expected]:
            print(f"expected '{expected}', found {found}", file=sys.stderr)
            failures += 1
    print(f"{len(instructions) - failures} instructions agree, {failures} do not")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
