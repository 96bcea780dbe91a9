#include "compiler/Dialect/Wasm/Wasm.h"

#include "mlir/IR/DialectImplementation.h"
#include "mlir/Interfaces/FunctionImplementation.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/TypeSwitch.h"

#include "compiler/Dialect/Wasm/WasmDialect.cpp.inc"

#include "compiler/Dialect/Wasm/WasmInterfaces.cpp.inc"

#define GET_TYPEDEF_CLASSES
#include "compiler/Dialect/Wasm/WasmTypes.cpp.inc"

#define GET_OP_CLASSES
#include "compiler/Dialect/Wasm/Wasm.cpp.inc"

using namespace mlir;

namespace kimic::wasm {

void WasmDialect::initialize() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "compiler/Dialect/Wasm/WasmTypes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "compiler/Dialect/Wasm/Wasm.cpp.inc"
      >();
}

LogicalResult verifyAlignment(Operation *op, std::uint32_t align, std::uint32_t natural) {
  if (align <= natural)
    return success();
  return op->emitOpError() << "has alignment exponent " << align << ", expected 0 to " << natural;
}

static bool isWasmType(Type type) { return type.isSignlessInteger(32) || type.isF32() || isa<V128Type>(type); }

LogicalResult ModuleOp::verifyRegions() {
  llvm::StringSet<> exports;
  for (Operation &op : getBody().front()) {
    if (!isa<FuncOp, CustomOp>(op))
      return op.emitOpError("may not stand in a 'wasm.module', expected 'wasm.func' or 'wasm.custom'");
    if (auto func = dyn_cast<FuncOp>(op); func && func.getExportName() && !exports.insert(*func.getExportName()).second)
      return func.emitOpError() << "has the export name '" << *func.getExportName() << "', which is taken already";
  }
  return success();
}

void FuncOp::build(OpBuilder &builder, OperationState &state, StringRef name, FunctionType type, StringRef exportName) {
  state.addAttribute(SymbolTable::getSymbolAttrName(), builder.getStringAttr(name));
  state.addAttribute(getFunctionTypeAttrName(state.name), TypeAttr::get(type));
  if (!exportName.empty())
    state.addAttribute(getExportNameAttrName(state.name), builder.getStringAttr(exportName));
  Block &body = state.addRegion()->emplaceBlock();
  for (Type input : type.getInputs())
    body.addArgument(input, state.location);
}

ParseResult FuncOp::parse(OpAsmParser &parser, OperationState &result) {
  auto buildType = [](Builder &builder, ArrayRef<Type> inputs, ArrayRef<Type> results,
                      function_interface_impl::VariadicFlag,
                      std::string &) { return builder.getFunctionType(inputs, results); };
  return function_interface_impl::parseFunctionOp(parser, result, /*allowVariadic=*/false,
                                                  getFunctionTypeAttrName(result.name), buildType,
                                                  getArgAttrsAttrName(result.name), getResAttrsAttrName(result.name));
}

void FuncOp::print(OpAsmPrinter &printer) {
  function_interface_impl::printFunctionOp(printer, *this, /*isVariadic=*/false, getFunctionTypeAttrName(),
                                           getArgAttrsAttrName(), getResAttrsAttrName());
}

LogicalResult FuncOp::verifyType() {
  for (Type type : llvm::concat<const Type>(getArgumentTypes(), getResultTypes()))
    if (!isWasmType(type))
      return emitOpError() << "has the type " << type << " in its signature, expected i32, f32 or v128";
  return success();
}

LogicalResult FuncOp::verifyRegions() {
  if (isExternal())
    return emitOpError("has no body");
  if (!getBody().hasOneBlock())
    return emitOpError() << "has " << getBody().getBlocks().size() << " blocks, expected 1";
  Block &block = getBody().front();
  if (block.empty() || !isa<ReturnOp>(block.back()))
    return emitOpError("does not end with 'wasm.return'");
  return success();
}

LogicalResult ReturnOp::verify() {
  auto expected = cast<FuncOp>((*this)->getParentOp()).getResultTypes();
  if (TypeRange(getOperands()) != TypeRange(expected))
    return emitOpError() << "has operands (" << TypeRange(getOperands()) << "), but the function returns (" << expected
                         << ")";
  return success();
}

ParseResult LoopOp::parse(OpAsmParser &parser, OperationState &result) {
  SmallVector<OpAsmParser::Argument> arguments;
  OpAsmParser::UnresolvedOperand guard;
  SmallVector<OpAsmParser::UnresolvedOperand> initial;
  SmallVector<Type> types;
  auto parseCarried = [&]() -> ParseResult {
    return failure(parser.parseArgument(arguments.emplace_back()) || parser.parseEqual() ||
                   parser.parseOperand(initial.emplace_back()));
  };
  bool isGuarded = succeeded(parser.parseOptionalKeyword("if"));
  if (isGuarded &&
      (parser.parseOperand(guard) || parser.resolveOperand(guard, parser.getBuilder().getI32Type(), result.operands)))
    return failure();
  SMLoc location = parser.getCurrentLocation();
  if (parser.parseCommaSeparatedList(OpAsmParser::Delimiter::OptionalParen, parseCarried) ||
      parser.parseOptionalColonTypeList(types) || parser.parseOptionalAttrDictWithKeyword(result.attributes) ||
      parser.resolveOperands(initial, types, location, result.operands))
    return failure();
  for (auto [argument, type] : llvm::zip_equal(arguments, types))
    argument.type = type;
  result.getOrAddProperties<Properties>().operandSegmentSizes = {isGuarded, static_cast<std::int32_t>(initial.size())};
  result.addTypes(types);
  return parser.parseRegion(*result.addRegion(), arguments);
}

void LoopOp::print(OpAsmPrinter &printer) {
  if (getGuard())
    printer << " if " << getGuard();
  if (!getInitial().empty()) {
    printer << " (";
    llvm::interleaveComma(llvm::zip(getBody().getArguments(), getInitial()), printer, [&](auto carried) {
      printer.printRegionArgument(std::get<0>(carried), {}, /*omitType=*/true);
      printer << " = " << std::get<1>(carried);
    });
    printer << ") : " << getInitial().getTypes();
  }
  printer.printOptionalAttrDictWithKeyword((*this)->getAttrs(), getOperandSegmentSizeAttr());
  printer << ' ';
  printer.printRegion(getBody(), /*printEntryBlockArgs=*/false);
}

LogicalResult LoopOp::verifyRegions() {
  auto next = dyn_cast<ContinueOp>(getBody().front().getTerminator());
  if (!next)
    return emitOpError("does not end with 'wasm.continue'");
  TypeRange carried(getInitial());
  auto check = [&](TypeRange types, StringRef what) -> LogicalResult {
    if (types == carried)
      return success();
    return emitOpError() << "carries (" << carried << "), but its " << what << " (" << types << ")";
  };
  if (failed(check(getBody().front().getArgumentTypes(), "body takes")) ||
      failed(check(next.getNext().getTypes(), "body hands on")) || failed(check(getResultTypes(), "results are")))
    return failure();
  return success();
}

LogicalResult I8x16ShuffleOp::verify() {
  if (getLanes().size() != 16)
    return emitOpError() << "has " << getLanes().size() << " lanes, expected 16";
  for (std::int8_t lane : getLanes())
    if (lane < 0 || lane > 31)
      return emitOpError() << "has the lane " << int{lane} << ", expected 0 to 31";
  return success();
}

} // namespace kimic::wasm
