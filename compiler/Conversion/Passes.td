// The passes that lower kernels.
#ifndef KIMIC_CONVERSION_PASSES
#define KIMIC_CONVERSION_PASSES

include "mlir/Pass/PassBase.td"

def ConvertQExpertToWasm : Pass<"convert-qexpert-to-wasm", "mlir::ModuleOp"> {
  let summary = "write the code of the kernels";
  let description = [{
    Appends a `wasm.module` with one exported function per `qexpert.kernel`, in their order. The kernels stay: experts
    refer to them.

    ```mlir
    qexpert.kernel @a signature(<2 -> [0: linear x 1]>) parameters 80 scratch 256
    // becomes, behind it
    wasm.module memory "env" "memory" {
      wasm.func @a(%params: i32, %x: i32, %y: i32, %scratch: i32, %rows: i32) attributes {exportName = "k0"} {
        ...
      }
      wasm.custom "kimic.kernel" "\01"
    }
    ```
  }];
  let options = [Option<"variant", "variant", "kimic::abi::Variant", "kimic::abi::Variant::Simd128",
                        "Instructions that the kernels may use", [{::llvm::cl::values(
    clEnumValN(kimic::abi::Variant::Scalar, "scalar", "WebAssembly 1.0"),
    clEnumValN(kimic::abi::Variant::Simd128, "simd128", "and fixed-width SIMD"))}]>];
  let dependentDialects = ["kimic::wasm::WasmDialect"];
}

#endif
