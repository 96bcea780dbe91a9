// The `wasm` dialect: WebAssembly instructions in SSA form. Wasm.td describes the operations.
#pragma once

#include "compiler/Dialect/Wasm/ByteWriter.h"

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace kimic::wasm {

/// What an instruction does with memory.
enum class MemoryEffect : std::uint8_t { None, Load, Store };

/// Error unless the exponent `align` is at most `natural`.
mlir::LogicalResult verifyAlignment(mlir::Operation *op, std::uint32_t align, std::uint32_t natural);

} // namespace kimic::wasm

#include "compiler/Dialect/Wasm/WasmDialect.h.inc"

#include "compiler/Dialect/Wasm/WasmInterfaces.h.inc"

#define GET_TYPEDEF_CLASSES
#include "compiler/Dialect/Wasm/WasmTypes.h.inc"

#define GET_OP_CLASSES
#include "compiler/Dialect/Wasm/Wasm.h.inc"
