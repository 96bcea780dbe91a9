// How activation functions are spelled in IR: the words of formats/base/Activation.h.
#pragma once

#include "formats/base/Activation.h"

#include "mlir/IR/OpImplementation.h"
#include "llvm/ADT/StringRef.h"

namespace kimic {

/// Parses one of the twenty names.
inline mlir::ParseResult parseActivation(mlir::AsmParser &parser, Activation &function) {
  llvm::SMLoc loc = parser.getCurrentLocation();
  llvm::StringRef word;
  if (parser.parseKeyword(&word))
    return mlir::failure();
  for (unsigned i = 0; i < kActivationCount; ++i)
    if (word == nameOf(static_cast<Activation>(i))) {
      function = static_cast<Activation>(i);
      return mlir::success();
    }
  return parser.emitError(loc) << "'" << word << "' is not one of FANN's twenty activation functions";
}

/// Parses `FUNCTION x COUNT`.
inline mlir::ParseResult parseActivationRun(mlir::AsmParser &parser, Activation &function, std::uint32_t &count) {
  return mlir::failure(parseActivation(parser, function) || parser.parseKeyword("x") || parser.parseInteger(count));
}

} // namespace kimic
