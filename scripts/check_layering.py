#!/usr/bin/env python3
"""Checks that every #include stays inside its layer.

formats/ knows neither side; compiler/ and runtime/ never include each other; LLVM and MLIR appear only in compiler/,
and not in its public header; whatever runs in the browser includes nothing that Emscripten does not have.
Usage: check_layering.py [ROOT]; prints the lines that break a rule and exits 1.
"""
import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')

# Layer (folder prefix, longest match wins) -> repository folders that it may include.
MAY_INCLUDE = {
    "formats/base": ["formats/base"],
    "formats/quant": ["formats/base", "formats/quant"],
    "formats/abi": ["formats/base", "formats/quant", "formats/abi"],
    "formats/reference": ["formats/base", "formats/quant", "formats/reference"],
    "formats/pack": ["formats/base", "formats/quant", "formats/abi", "formats/pack"],
    "formats/fann": ["formats/base", "formats/data", "formats/fann"],
    "formats/data": ["formats/base", "formats/data"],
    "formats/manifest": ["formats/base", "formats/data", "formats/fann", "formats/manifest"],
    "formats/trace": ["formats/base", "formats/data", "formats/manifest", "formats/trace"],
    "runtime": ["formats/base", "formats/quant", "formats/abi", "formats/reference", "formats/pack", "runtime"],
    "compiler": ["formats", "compiler"],
    "compiler/include": ["formats", "compiler/include"],
    "compiler/tools": ["formats", "compiler", "runtime"],
    "python": ["formats", "compiler/include", "runtime", "python"],
    "tests": ["formats", "compiler", "runtime", "tests"],
}
LLVM_ALLOWED = ("compiler/Dialect/", "compiler/Import/", "compiler/Transforms/", "compiler/Conversion/",
                "compiler/Target/", "compiler/Native/", "compiler/Pipeline/", "compiler/tools/kimic-opt", "tests/unit/compiler/", "tests/kernels/", "tests/ablation/")
TOP_FOLDERS = ("formats/", "compiler/", "runtime/", "python/", "tests/")


def layer_of(path: str) -> str:
    return max((layer for layer in MAY_INCLUDE if path.startswith(layer + "/")), key=len, default="")


def errors_in(root: pathlib.Path):
    for source in sorted(p for top in TOP_FOLDERS for p in (root / top).rglob("*") if p.suffix in {".h", ".cpp"}):
        path = source.relative_to(root).as_posix()
        if "node_modules" in path:
            continue
        layer = layer_of(path)
        if not layer:
            yield f"{path}:1: belongs to no layer of scripts/check_layering.py"
            continue
        for number, line in enumerate(source.read_text().splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            target = match[2]
            if target.startswith(("mlir/", "llvm/", "mlir-c/", "llvm-c/")):
                if not path.startswith(LLVM_ALLOWED):
                    yield f"{path}:{number}: {target}: LLVM may be included only by the inner folders of compiler/"
            elif target.startswith("../") or target.startswith("./"):
                yield f"{path}:{number}: {target}: includes are relative to the repository root"
            elif target.startswith(TOP_FOLDERS):
                if not any(target.startswith(allowed + "/") for allowed in MAY_INCLUDE[layer]):
                    yield f"{path}:{number}: {target}: not allowed in layer {layer}"


def main() -> int:
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent)
    found = list(errors_in(root))
    print("\n".join(found) if found else "layering: every include stays inside its layer")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
