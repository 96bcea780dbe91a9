// Verifiers, parsers and printers of the expert dialect.
#include "compiler/Dialect/Expert/Expert.h"

#include "compiler/Dialect/ActivationKeyword.h"

#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace kimic;
using namespace kimic::expert;

static int64_t lengthOf(Value value) { return cast<RankedTensorType>(value.getType()).getDimSize(0); }

/// Checks that an attribute holds one number per neuron.
static LogicalResult verifyLength(Operation *op, StringRef name, DenseElementsAttr attribute, int64_t expected) {
  auto shape = attribute.getType().getShape();
  if (shape.size() != 1)
    return op->emitOpError() << name << " has " << shape.size() << " dimensions, but needs 1";
  if (shape[0] != expected)
    return op->emitOpError() << name << " has " << shape[0] << " elements, but the result has " << expected;
  return success();
}

static LogicalResult verifyRange(Operation *op, std::optional<DenseElementsAttr> range, int64_t length) {
  if (!range)
    return success();
  auto shape = range->getType().getShape();
  if (shape.size() != 2 || shape[0] != length || shape[1] != 2)
    return op->emitOpError() << "range is " << range->getType() << ", but a value of " << length << " elements needs "
                             << length << "x2";
  return success();
}

//===--------------------------------------------------------------------===//
// Attributes
//===--------------------------------------------------------------------===//

LogicalResult RunAttr::verify(function_ref<InFlightDiagnostic()> emitError, Activation, uint32_t count) {
  if (count == 0)
    return emitError() << "a run of an activation function has 0 neurons, but needs at least 1";
  return success();
}

Attribute RunAttr::parse(AsmParser &parser, Type) {
  Activation function;
  uint32_t count;
  if (parser.parseLess() || parseActivationRun(parser, function, count) || parser.parseGreater())
    return {};
  return parser.getChecked<RunAttr>(parser.getContext(), function, count);
}

void RunAttr::print(AsmPrinter &printer) const {
  printer << '<' << nameOf(getFunction()) << " x " << getCount() << '>';
}

static ParseResult parseRuns(OpAsmParser &parser, ArrayAttr &functions) {
  SmallVector<Attribute> runs;
  if (parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, [&]() -> ParseResult {
        Activation function;
        uint32_t count;
        if (parseActivationRun(parser, function, count))
          return failure();
        auto run = parser.getChecked<RunAttr>(parser.getContext(), function, count);
        runs.push_back(run);
        return success(static_cast<bool>(run));
      }))
    return failure();
  functions = parser.getBuilder().getArrayAttr(runs);
  return success();
}

static void printRuns(OpAsmPrinter &printer, Operation *, ArrayAttr functions) {
  printer << '[';
  llvm::interleaveComma(functions.getAsRange<RunAttr>(), printer,
                        [&](RunAttr run) { printer << nameOf(run.getFunction()) << " x " << run.getCount(); });
  printer << ']';
}

//===--------------------------------------------------------------------===//
// define
//===--------------------------------------------------------------------===//

void DefineOp::build(OpBuilder &builder, OperationState &state, StringRef name, uint32_t inputs, uint32_t outputs) {
  auto input = RankedTensorType::get({inputs}, builder.getF32Type());
  auto &properties = state.getOrAddProperties<Properties>();
  properties.sym_name = builder.getStringAttr(name);
  properties.input_type = TypeAttr::get(input);
  properties.result_type = TypeAttr::get(RankedTensorType::get({outputs}, builder.getF32Type()));
  Block &block = state.addRegion()->emplaceBlock();
  block.addArgument(input, state.location);
}

ParseResult DefineOp::parse(OpAsmParser &parser, OperationState &state) {
  auto &properties = state.getOrAddProperties<Properties>();
  OpAsmParser::Argument input;
  Type result;
  if (parser.parseSymbolName(properties.sym_name) || parser.parseLParen() ||
      parser.parseArgument(input, /*allowType=*/true) || parser.parseRParen() || parser.parseArrow() ||
      parser.parseType(result))
    return failure();
  properties.input_type = TypeAttr::get(input.type);
  properties.result_type = TypeAttr::get(result);
  if (succeeded(parser.parseOptionalKeyword("range")) &&
      (parser.parseLParen() || parser.parseAttribute(properties.range) || parser.parseRParen()))
    return failure();
  return failure(parser.parseOptionalAttrDictWithKeyword(state.attributes) ||
                 parser.parseRegion(*state.addRegion(), input));
}

void DefineOp::print(OpAsmPrinter &printer) {
  printer << ' ';
  printer.printSymbolName(getSymName());
  printer << '(';
  printer.printRegionArgument(getInput());
  printer << ") -> " << getResultType();
  if (auto range = getRangeAttr())
    printer << " range(" << range << ')';
  printer.printOptionalAttrDictWithKeyword(
      (*this)->getAttrs(), {getSymNameAttrName(), getInputTypeAttrName(), getResultTypeAttrName(), getRangeAttrName()});
  printer << ' ';
  printer.printRegion(getBody(), /*printEntryBlockArgs=*/false);
}

LogicalResult DefineOp::verify() {
  for (auto [name, type] : {std::pair("input", getInputType()), std::pair("result", getResultType())})
    if (!cast<RankedTensorType>(type).hasStaticShape() || cast<RankedTensorType>(type).getDimSize(0) == 0)
      return emitOpError() << name << " type " << type << " needs a static length of at least 1";
  return verifyRange(*this, getRange(), getInputs());
}

LogicalResult DefineOp::verifyRegions() {
  Block &block = getBody().front();
  if (block.getNumArguments() != 1 || block.getArgument(0).getType() != getInputType())
    return emitOpError() << "body needs exactly one argument of type " << getInputType();
  auto yield = dyn_cast<YieldOp>(block.getTerminator());
  if (!yield)
    return emitOpError() << "body ends with '" << block.getTerminator()->getName() << "', but needs 'expert.yield'";
  if (yield.getValue().getType() != getResultType())
    return yield.emitOpError() << "yields " << yield.getValue().getType() << ", but the expert's result is "
                               << getResultType();
  return success();
}

//===--------------------------------------------------------------------===//
// The other operations
//===--------------------------------------------------------------------===//

LogicalResult LinearOp::verify() {
  auto shape = getWeights().getType().getShape();
  if (shape.size() != 2)
    return emitOpError() << "weights have " << shape.size() << " dimensions, but need 2 (outputs x inputs)";
  if (shape[0] != lengthOf(getResult()))
    return emitOpError() << "weights have " << shape[0] << " rows, but the result has " << lengthOf(getResult())
                         << " elements";
  if (shape[1] != lengthOf(getInput()))
    return emitOpError() << "weights have " << shape[1] << " columns, but the input has " << lengthOf(getInput())
                         << " elements";
  if (failed(verifyLength(*this, "bias", getBias(), shape[0])))
    return failure();
  return verifyRange(*this, getRange(), shape[0]);
}

LogicalResult ActivationOp::verify() {
  int64_t length = lengthOf(getResult());
  uint64_t covered = 0;
  for (auto run : getFunctions().getAsRange<RunAttr>())
    covered += run.getCount();
  if (covered != static_cast<uint64_t>(length))
    return emitOpError() << "functions cover " << covered << " neurons, but the result has " << length;
  if (getSteepness() && failed(verifyLength(*this, "steepness", *getSteepness(), length)))
    return failure();
  if (getLimit() && failed(verifyLength(*this, "limit", *getLimit(), length)))
    return failure();
  if (getLimit() && getSteepness())
    return emitOpError() << "has a limit and a steepness, but a limit is for folded steepness";
  if (getClamp() && !getSteepness())
    return emitOpError() << "has clamp without steepness: the clamp is +-150/steepness";
  return verifyRange(*this, getRange(), length);
}

LogicalResult AffineOp::verify() {
  int64_t length = lengthOf(getResult());
  if (failed(verifyLength(*this, "scale", getScale(), length)))
    return failure();
  return verifyLength(*this, "offset", getOffset(), length);
}

LogicalResult ConcatOp::verify() {
  int64_t length = 0;
  for (Value input : getInputs())
    length += lengthOf(input);
  if (length != lengthOf(getResult()))
    return emitOpError() << "inputs have " << length << " elements together, but the result has "
                         << lengthOf(getResult());
  return success();
}

LogicalResult ArgmaxOp::verify() {
  if (lengthOf(getResult()) != 1)
    return emitOpError() << "has " << lengthOf(getResult()) << " results, but needs one";
  return success();
}

#define GET_ATTRDEF_CLASSES
#include "compiler/Dialect/Expert/ExpertAttributes.cpp.inc"
#define GET_OP_CLASSES
#include "compiler/Dialect/Expert/ExpertOps.cpp.inc"

#include "compiler/Dialect/Expert/ExpertDialect.cpp.inc"

void ExpertDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "compiler/Dialect/Expert/ExpertAttributes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "compiler/Dialect/Expert/ExpertOps.cpp.inc"
      >();
}
