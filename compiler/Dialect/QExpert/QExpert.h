// The qexpert dialect in C++. Operations and their meaning: QExpertOps.td.
#pragma once

#include "formats/quant/Signature.h"

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "compiler/Dialect/QExpert/QExpertDialect.h.inc"
#define GET_ATTRDEF_CLASSES
#include "compiler/Dialect/QExpert/QExpertAttributes.h.inc"
#define GET_OP_CLASSES
#include "compiler/Dialect/QExpert/QExpertOps.h.inc"

namespace kimic::qexpert {

/// The signature that a kernel is the code for. Valid: the kernel's verifier has checked it.
quant::Signature signatureOf(KernelOp kernel);

} // namespace kimic::qexpert
