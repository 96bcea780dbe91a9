// Turns a `wasm.module` into the bytes of a WebAssembly module.
//
// Instructions keep their order, except that a value with one use is computed where it is used if that moves no load
// across a store; constants are computed at each use. All other values get locals: a loop's carried value shares one
// with its initial, next and final value where their live ranges allow it, and locals are reused within their type.
#pragma once

#include "compiler/Dialect/Wasm/Wasm.h"

namespace kimic::wasm {

/// The module's bytes: a pure function of `module`, which must have passed its verifier. Operations without effect and
/// use are left out.
std::vector<std::uint8_t> encodeModule(ModuleOp module);

} // namespace kimic::wasm
