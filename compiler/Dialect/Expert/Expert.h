// The expert dialect in C++. Operations and their meaning: ExpertOps.td.
#pragma once

#include "formats/base/Activation.h"

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "compiler/Dialect/Expert/ExpertDialect.h.inc"
#define GET_ATTRDEF_CLASSES
#include "compiler/Dialect/Expert/ExpertAttributes.h.inc"
#define GET_OP_CLASSES
#include "compiler/Dialect/Expert/ExpertOps.h.inc"
