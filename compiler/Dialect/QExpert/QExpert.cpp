// Verifiers, parsers and printers of the qexpert dialect.
#include "compiler/Dialect/QExpert/QExpert.h"

#include "compiler/Dialect/ActivationKeyword.h"
#include "formats/base/Diagnostic.h"
#include "formats/quant/Layout.h"

#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace kimic;
using namespace kimic::qexpert;

static int64_t lengthOf(Value value) { return cast<RankedTensorType>(value.getType()).getDimSize(0); }

/// Checks that an attribute holds one number per element of the result.
static LogicalResult verifyLength(Operation *op, StringRef name, DenseElementsAttr attribute, int64_t expected) {
  auto shape = attribute.getType().getShape();
  if (shape.size() != 1)
    return op->emitOpError() << name << " has " << shape.size() << " dimensions, but needs 1";
  if (shape[0] != expected)
    return op->emitOpError() << name << " has " << shape[0] << " elements, but the result has " << expected;
  return success();
}

/// Bounds must be ordered codes: what they let through has to fit 16 bits.
static LogicalResult verifyBounds(Operation *op, const APFloat &lo, const APFloat &hi) {
  float low = lo.convertToFloat(), high = hi.convertToFloat();
  if (!(low >= -32768.0f && low <= high && high <= 32767.0f))
    return op->emitOpError() << "bounds [" << low << ", " << high << "] are not ordered within [-32768, 32767]";
  return success();
}

//===--------------------------------------------------------------------===//
// Attributes
//===--------------------------------------------------------------------===//

LogicalResult GroupAttr::verify(function_ref<InFlightDiagnostic()> emitError, Activation, uint32_t count, bool) {
  if (count == 0)
    return emitError() << "an activation group has 0 outputs, but needs at least 1";
  return success();
}

static ParseResult parseGroup(AsmParser &parser, GroupAttr &group) {
  Activation function;
  uint32_t count;
  if (parseActivationRun(parser, function, count))
    return failure();
  bool clamped = succeeded(parser.parseOptionalKeyword("clamped"));
  group = parser.getChecked<GroupAttr>(parser.getContext(), function, count, clamped);
  return success(static_cast<bool>(group));
}

static void printGroup(AsmPrinter &printer, GroupAttr group) {
  printer << nameOf(group.getFunction()) << " x " << group.getCount();
  if (group.getClamped())
    printer << " clamped";
}

Attribute GroupAttr::parse(AsmParser &parser, Type) {
  GroupAttr group;
  if (parser.parseLess() || parseGroup(parser, group) || parser.parseGreater())
    return {};
  return group;
}

void GroupAttr::print(AsmPrinter &printer) const {
  printer << '<';
  printGroup(printer, *this);
  printer << '>';
}

/// `[READ_BEGIN: GROUP, GROUP]`
static ParseResult parseLayer(AsmParser &parser, LayerAttr &layer) {
  uint32_t readBegin;
  SmallVector<GroupAttr> groups;
  if (parser.parseLSquare() || parser.parseInteger(readBegin) || parser.parseColon() ||
      parser.parseCommaSeparatedList([&] { return parseGroup(parser, groups.emplace_back()); }) ||
      parser.parseRSquare())
    return failure();
  layer = LayerAttr::get(parser.getContext(), readBegin, groups);
  return success();
}

static void printLayer(AsmPrinter &printer, LayerAttr layer) {
  printer << '[' << layer.getReadBegin() << ": ";
  llvm::interleaveComma(layer.getGroups(), printer, [&](GroupAttr group) { printGroup(printer, group); });
  printer << ']';
}

Attribute LayerAttr::parse(AsmParser &parser, Type) {
  LayerAttr layer;
  if (parser.parseLess() || parseLayer(parser, layer) || parser.parseGreater())
    return {};
  return layer;
}

void LayerAttr::print(AsmPrinter &printer) const {
  printer << '<';
  printLayer(printer, *this);
  printer << '>';
}

Attribute SignatureAttr::parse(AsmParser &parser, Type) {
  uint32_t inputs;
  SmallVector<LayerAttr> layers;
  if (parser.parseLess() || parser.parseInteger(inputs))
    return {};
  while (succeeded(parser.parseOptionalArrow()))
    if (parseLayer(parser, layers.emplace_back()))
      return {};
  // Every word may stand after a comma, each at most once and in this order.
  static constexpr StringLiteral kWords[] = {"residual", "float32", "affine", "softmax", "argmax", "sparse"};
  bool has[std::size(kWords)] = {};
  for (size_t next = 0; succeeded(parser.parseOptionalComma());) {
    SMLoc at = parser.getCurrentLocation();
    StringRef word;
    if (parser.parseKeyword(&word))
      return {};
    size_t index = llvm::find(kWords, word) - std::begin(kWords);
    if (index == std::size(kWords) || index < next) {
      parser.emitError(at,
                       "expected 'residual' or 'float32', 'affine', 'softmax' or 'argmax', 'sparse', in this order");
      return {};
    }
    has[index] = true;
    next = index == 0 || index == 3 ? index + 2 : index + 1;
  }
  if (parser.parseGreater())
    return {};
  auto weights = has[0]   ? quant::WeightFormat::Int8Residual
                 : has[1] ? quant::WeightFormat::Float32
                          : quant::WeightFormat::Int8;
  auto head = has[3] ? quant::Head::Softmax : has[4] ? quant::Head::Argmax : quant::Head::None;
  return parser.getChecked<SignatureAttr>(parser.getContext(), inputs, layers, weights, has[2], head, has[5]);
}

void SignatureAttr::print(AsmPrinter &printer) const {
  printer << '<' << getInputs();
  for (LayerAttr layer : getLayers()) {
    printer << " -> ";
    printLayer(printer, layer);
  }
  if (getWeights() != quant::WeightFormat::Int8)
    printer << (getWeights() == quant::WeightFormat::Float32 ? ", float32" : ", residual");
  if (getOutputAffine())
    printer << ", affine";
  if (getHead() != quant::Head::None)
    printer << (getHead() == quant::Head::Softmax ? ", softmax" : ", argmax");
  if (getSparseInputs())
    printer << ", sparse";
  printer << '>';
}

static quant::Signature toSignature(uint32_t inputs, ArrayRef<LayerAttr> layers, quant::WeightFormat weights,
                                    bool outputAffine, quant::Head head, bool sparseInputs) {
  quant::Signature signature;
  signature.inputs = inputs;
  signature.outputAffine = outputAffine;
  signature.sparseInputs = sparseInputs;
  signature.head = head;
  for (LayerAttr layer : layers) {
    quant::LayerSignature &out = signature.layers.emplace_back();
    out.weights = weights;
    out.readBegin = layer.getReadBegin();
    for (GroupAttr group : layer.getGroups())
      out.groups.push_back({group.getFunction(), group.getClamped(), group.getCount()});
  }
  return signature;
}

quant::Signature SignatureAttr::toSignature() const {
  return ::toSignature(getInputs(), getLayers(), getWeights(), getOutputAffine(), getHead(), getSparseInputs());
}

SignatureAttr SignatureAttr::get(MLIRContext *context, const quant::Signature &signature) {
  SmallVector<LayerAttr> layers;
  for (const quant::LayerSignature &layer : signature.layers) {
    SmallVector<GroupAttr> groups;
    for (const quant::ActivationGroup &group : layer.groups)
      groups.push_back(GroupAttr::get(context, group.function, group.count, group.clamped));
    layers.push_back(LayerAttr::get(context, layer.readBegin, groups));
  }
  return get(context, signature.inputs, layers, signature.weights(), signature.outputAffine, signature.head,
             signature.sparseInputs);
}

LogicalResult SignatureAttr::verify(function_ref<InFlightDiagnostic()> emitError, uint32_t inputs,
                                    ArrayRef<LayerAttr> layers, quant::WeightFormat weights, bool outputAffine,
                                    quant::Head head, bool sparseInputs) {
  if (auto valid = quant::validate(::toSignature(inputs, layers, weights, outputAffine, head, sparseInputs)); !valid)
    return emitError() << message(valid.error());
  return success();
}

//===--------------------------------------------------------------------===//
// Directives of the assembly format
//===--------------------------------------------------------------------===//

static ParseResult parseGroups(OpAsmParser &parser, ArrayAttr &groups) {
  SmallVector<Attribute> parsed;
  if (parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, [&]() -> ParseResult {
        GroupAttr group;
        if (parseGroup(parser, group))
          return failure();
        parsed.push_back(group);
        return success();
      }))
    return failure();
  groups = parser.getBuilder().getArrayAttr(parsed);
  return success();
}

static void printGroups(OpAsmPrinter &printer, Operation *, ArrayAttr groups) {
  printer << '[';
  llvm::interleaveComma(groups.getAsRange<GroupAttr>(), printer, [&](GroupAttr group) { printGroup(printer, group); });
  printer << ']';
}

static ParseResult parseBounds(OpAsmParser &parser, FloatAttr &lo, FloatAttr &hi) {
  Type f32 = parser.getBuilder().getF32Type();
  return failure(parser.parseLSquare() || parser.parseAttribute(lo, f32) || parser.parseComma() ||
                 parser.parseAttribute(hi, f32) || parser.parseRSquare());
}

static void printBounds(OpAsmPrinter &printer, Operation *, FloatAttr lo, FloatAttr hi) {
  printer << '[';
  printer.printAttributeWithoutType(lo);
  printer << ", ";
  printer.printAttributeWithoutType(hi);
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
  return failure(parser.parseOptionalAttrDictWithKeyword(state.attributes) ||
                 parser.parseRegion(*state.addRegion(), input));
}

void DefineOp::print(OpAsmPrinter &printer) {
  printer << ' ';
  printer.printSymbolName(getSymName());
  printer << '(';
  printer.printRegionArgument(getInput());
  printer << ") -> " << getResultType();
  printer.printOptionalAttrDictWithKeyword((*this)->getAttrs(),
                                           {getSymNameAttrName(), getInputTypeAttrName(), getResultTypeAttrName()});
  printer << ' ';
  printer.printRegion(getBody(), /*printEntryBlockArgs=*/false);
}

LogicalResult DefineOp::verify() {
  for (auto [name, type] : {std::pair("input", getInputType()), std::pair("result", getResultType())})
    if (!cast<RankedTensorType>(type).hasStaticShape() || cast<RankedTensorType>(type).getDimSize(0) == 0)
      return emitOpError() << name << " type " << type << " needs a static length of at least 1";
  return success();
}

LogicalResult DefineOp::verifyRegions() {
  Block &block = getBody().front();
  if (block.getNumArguments() != 1 || block.getArgument(0).getType() != getInputType())
    return emitOpError() << "body needs exactly one argument of type " << getInputType();
  auto yield = dyn_cast<YieldOp>(block.getTerminator());
  if (!yield)
    return emitOpError() << "body ends with '" << block.getTerminator()->getName() << "', but needs 'qexpert.yield'";
  if (yield.getValue().getType() != getResultType())
    return yield.emitOpError() << "yields " << yield.getValue().getType() << ", but the expert's result is "
                               << getResultType();
  return success();
}

//===--------------------------------------------------------------------===//
// The other operations
//===--------------------------------------------------------------------===//

LogicalResult QuantizeOp::verify() {
  if (lengthOf(getInput()) != lengthOf(getResult()))
    return emitOpError() << "input has " << lengthOf(getInput()) << " elements, but the result has "
                         << lengthOf(getResult());
  if (failed(verifyLength(*this, "scale", getScale(), lengthOf(getResult()))))
    return failure();
  return verifyBounds(*this, getLo(), getHi());
}

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
  return verifyLength(*this, "bias", getBias(), shape[0]);
}

LogicalResult ActivationOp::verify() {
  int64_t length = lengthOf(getResult());
  if (lengthOf(getInput()) != length)
    return emitOpError() << "input has " << lengthOf(getInput()) << " elements, but the result has " << length;
  uint64_t covered = 0;
  bool clamped = false;
  for (auto group : getGroups().getAsRange<GroupAttr>()) {
    covered += group.getCount();
    clamped |= group.getClamped();
  }
  if (covered != static_cast<uint64_t>(length))
    return emitOpError() << "groups cover " << covered << " outputs, but the result has " << length;
  if (failed(verifyLength(*this, "multiplier", getMultiplier(), length)))
    return failure();
  if (clamped != getLimit().has_value())
    return emitOpError() << (clamped ? "has a clamped group, but no limit" : "has a limit, but no clamped group");
  if (getLimit() && failed(verifyLength(*this, "limit", *getLimit(), length)))
    return failure();
  bool givesCodes = cast<RankedTensorType>(getResult().getType()).getElementType().isInteger(16);
  if (givesCodes != getLo().has_value())
    return emitOpError() << (givesCodes ? "gives codes, but has no bounds" : "gives f32, but has bounds for codes");
  return givesCodes ? verifyBounds(*this, *getLo(), *getHi()) : success();
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

LogicalResult AffineOp::verify() {
  if (failed(verifyLength(*this, "gain", getGain(), lengthOf(getResult()))))
    return failure();
  return verifyLength(*this, "offset", getOffset(), lengthOf(getResult()));
}

/// Checks a parameter block's size against the signature's layout. `mayExceed`: residual rows may follow.
static LogicalResult verifyLayout(Operation *op, SignatureAttr signature, uint64_t parameterBytes, bool mayExceed,
                                  std::optional<uint64_t> scratchBytes) {
  auto layout = quant::layoutOf(signature.toSignature());
  if (!layout)
    return op->emitOpError() << message(layout.error());
  if (mayExceed ? parameterBytes < layout->parameterBytes : parameterBytes != layout->parameterBytes)
    return op->emitOpError() << "has " << parameterBytes << " bytes of parameters, but its signature needs "
                             << layout->parameterBytes;
  if (scratchBytes && *scratchBytes != layout->scratchBytes)
    return op->emitOpError() << "has " << *scratchBytes << " bytes of scratch, but its signature needs "
                             << layout->scratchBytes;
  return success();
}

LogicalResult ExpertOp::verify() {
  if (getSignature().has_value() == getKernel().has_value())
    return emitOpError() << "needs either a signature or a kernel";
  if (getParameters().getType().getRank() != 1)
    return emitOpError() << "parameters are " << getParameters().getType() << ", but need 1 dimension";
  if (!getSignature())
    return success();
  bool hasResiduals = getSignature()->getWeights() == quant::WeightFormat::Int8Residual;
  return verifyLayout(*this, *getSignature(), getParameters().getNumElements(), hasResiduals, std::nullopt);
}

void KernelOp::build(OpBuilder &builder, OperationState &state, StringRef name, SignatureAttr signature) {
  auto layout = quant::layoutOf(signature.toSignature());
  auto &properties = state.getOrAddProperties<Properties>();
  properties.sym_name = builder.getStringAttr(name);
  properties.signature = signature;
  properties.parameter_bytes = builder.getI32IntegerAttr(layout ? layout->parameterBytes : 0);
  properties.scratch_bytes = builder.getI32IntegerAttr(layout ? layout->scratchBytes : 0);
}

LogicalResult KernelOp::verify() {
  return verifyLayout(*this, getSignature(), getParameterBytes(), false, getScratchBytes());
}

quant::Signature qexpert::signatureOf(KernelOp kernel) { return kernel.getSignature().toSignature(); }

#define GET_ATTRDEF_CLASSES
#include "compiler/Dialect/QExpert/QExpertAttributes.cpp.inc"
#define GET_OP_CLASSES
#include "compiler/Dialect/QExpert/QExpertOps.cpp.inc"

#include "compiler/Dialect/QExpert/QExpertDialect.cpp.inc"

void QExpertDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "compiler/Dialect/QExpert/QExpertAttributes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "compiler/Dialect/QExpert/QExpertOps.cpp.inc"
      >();
}
