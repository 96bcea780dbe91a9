#include "compiler/Conversion/KernelWriter.h"

using namespace mlir;

namespace kimic {

using namespace wasm;

void KernelWriter::write(Block &body) {
  code.setInsertionPointToEnd(&body);
  params = body.getArgument(0);
  scratch = body.getArgument(3);
  std::uint32_t rowBytes = signature.inputs * 4;
  Value bytes = code.emit<I32MulOp>(body.getArgument(4), code.i32(static_cast<std::int32_t>(rowBytes)));
  Value end = code.emit<I32AddOp>(body.getArgument(1), bytes);
  code.loop({body.getArgument(1), body.getArgument(2)}, [&](CodeBuilder::Carried pointers) -> Value {
    writeRow(pointers[0], pointers[1]);
    pointers[1] = code.advance(pointers[1], signature.outputs() * 4);
    pointers[0] = code.advance(pointers[0], rowBytes);
    return code.emit<I32NeOp>(pointers[0], end);
  });
  code.create<ReturnOp>(ValueRange());
}

void KernelWriter::writeRow(Value x, Value y) {
  readInputs(x);
  if (hasResiduals())
    residualRow = code.advance(params, layout.parameterBytes);
  for (std::size_t i = 0; i < layout.layers.size(); ++i) {
    const quant::LayerLayout &layer = layout.layers[i];
    std::uint32_t codeBytes = isFloat() ? 4 : 2;
    residualBegin = residualRow;
    accumulate(layer, code.advance(scratch, layout.codesOffset + codeBytes * signature.layers[i].readBegin));
    std::uint32_t first = 0;
    for (const quant::ActivationGroup &group : signature.layers[i].groups) {
      activate({layer, group, first, i + 1 == layout.layers.size()}, y);
      first += group.count;
    }
  }
  if (signature.head == quant::Head::Softmax)
    writeSoftmax(y);
  else if (signature.head == quant::Head::Argmax)
    writeArgmax(y);
}

KernelWriter::Target KernelWriter::targetOf(const Run &run) const {
  if (run.isLast)
    return hasHead() ? Target{false, layout.logitsOffset + 4 * run.first, 4} : Target{true, 4 * run.first, 4};
  std::uint32_t codeBytes = isFloat() ? 4 : 2;
  return {false, layout.codesOffset + codeBytes * (run.layer.codesBegin + run.first), codeBytes};
}

void KernelWriter::forResidualRows(const quant::LayerLayout &layer, std::uint32_t step,
                                   function_ref<void(Value)> body) {
  auto rowBytes = static_cast<std::int32_t>(quant::residualRowBytes(layer.fanIn));
  auto bytesOf = [&](Value rows) { return code.emit<I32MulOp>(rows, code.i32(rowBytes)); };
  Value count = code.load<I32LoadOp>(params, layer.residualCountOffset);
  Value rows = step == 1 ? count : code.emit<I32AndOp>(count, code.i32(-static_cast<std::int32_t>(step)));
  Value end = code.emit<I32AddOp>(residualBegin, bytesOf(rows));
  auto writeRows = [&](CodeBuilder::Carried row) -> Value {
    body(row[0]);
    row[0] = code.advance(row[0], step * static_cast<std::uint32_t>(rowBytes));
    return code.emit<I32NeOp>(row[0], end);
  };
  residualRow = code.loop({residualRow}, writeRows, code.emit<I32NeOp>(residualRow, end))[0];
}

Value KernelWriter::residualTarget(Value row, std::uint32_t offset) {
  Value bytes = code.emit<I32ShlOp>(code.load<I32LoadOp>(row, offset, 2), code.i32(2));
  return code.emit<I32AddOp>(scratch, bytes);
}

/// The index of the first logit that no other exceeds.
void KernelWriter::writeArgmax(Value y) {
  Value first = code.advance(scratch, layout.logitsOffset);
  Value best = first;
  if (std::uint32_t others = signature.logits() - 1)
    best = code.repeat(others, {{code.advance(first, 4), 4}}, {first, code.load<F32LoadOp>(first, 0)},
                       [&](ArrayRef<Value> at, CodeBuilder::Carried known) {
                         Value logit = code.load<F32LoadOp>(at[0], 0);
                         Value isLarger = code.emit<F32LtOp>(known[1], logit);
                         known[0] = code.emit<SelectOp>(at[0], known[0], isLarger);
                         known[1] = code.emit<SelectOp>(logit, known[1], isLarger);
                       })[0];
  Value index = code.emit<I32ShrUOp>(code.emit<I32SubOp>(best, first), code.i32(2));
  code.store<F32StoreOp>(y, 0, code.emit<F32ConvertI32SOp>(index));
}

} // namespace kimic
