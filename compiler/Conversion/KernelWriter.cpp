#include "compiler/Conversion/KernelWriter.h"

using namespace mlir;

namespace kimic {

using namespace wasm;

void KernelWriter::write(Block &body) {
  code.setInsertionPointToEnd(&body);
  params = body.getArgument(0);
  scratch = body.getArgument(3);
  Value x = body.getArgument(1), y = body.getArgument(2), left = body.getArgument(4);
  code.loop({x, y, left}, [&](CodeBuilder::Carried carried) -> Value {
    Value most = code.i32(hasTiles() ? quant::kTileRows : 1), rows = most;
    if (hasTiles())
      rows = code.emit<SelectOp>(carried[2], most, code.emit<I32LtUOp>(carried[2], most));
    writeTile(carried[0], carried[1], rows);
    auto advance = [&](Value pointer, std::uint32_t rowBytes) -> Value {
      Value bytes = code.emit<I32MulOp>(rows, code.i32(static_cast<std::int32_t>(rowBytes)));
      return code.emit<I32AddOp>(pointer, bytes);
    };
    carried[0] = advance(carried[0], signature.inputs * 4);
    carried[1] = advance(carried[1], signature.outputs() * 4);
    carried[2] = code.emit<I32SubOp>(carried[2], rows);
    return carried[2];
  });
  code.create<ReturnOp>(ValueRange());
}

void KernelWriter::forRows(CodeBuilder::Walk array, function_ref<void(Value)> body) {
  if (!hasTiles())
    return body(array.pointer);
  Value areas = scratch;
  code.loop({array.pointer, areas}, [&](CodeBuilder::Carried carried) -> Value {
    scratch = carried[1];
    body(carried[0]);
    carried[0] = code.advance(carried[0], array.stride);
    carried[1] = code.advance(carried[1], layout.scratchRowBytes);
    return code.emit<I32NeOp>(carried[1], scratchEnd);
  });
  scratch = areas;
}

Value KernelWriter::codesOf(std::size_t layer) {
  std::uint32_t codeBytes = isFloat() ? 4 : 2;
  return code.advance(scratch, layout.codesOffset + codeBytes * signature.layers[layer].readBegin);
}

void KernelWriter::writeTile(Value x, Value y, Value rows) {
  Value bytes = code.emit<I32MulOp>(rows, code.i32(static_cast<std::int32_t>(layout.scratchRowBytes)));
  scratchEnd = code.emit<I32AddOp>(scratch, bytes);
  forRows({x, signature.inputs * 4}, [&](Value row) {
    readInputs(row);
    prepare(layout.layers[0], codesOf(0));
  });
  if (hasResiduals())
    residualRows = code.advance(params, layout.parameterBytes);
  for (std::size_t l = 0; l < layout.layers.size(); ++l) {
    const quant::LayerLayout &layer = layout.layers[l];
    accumulateAll(l);
    if (hasResiduals())
      residualRows = residualEnd(layer);
    bool isLast = l + 1 == layout.layers.size();
    forRows({y, isLast ? signature.outputs() * 4 : 0}, [&](Value row) {
      std::uint32_t first = 0;
      for (const quant::ActivationGroup &group : signature.layers[l].groups) {
        activate({layer, group, first, isLast}, row);
        first += group.count;
      }
      if (isLast)
        writeHead(row);
      else
        prepare(layout.layers[l + 1], codesOf(l + 1));
    });
  }
}

void KernelWriter::accumulateAll(std::size_t layer) {
  auto ifTrue = [&](Value condition, function_ref<void()> body) {
    code.loop({}, [&](CodeBuilder::Carried) -> Value { return body(), code.i32(0); }, condition);
  };
  if (!hasTiles())
    return accumulate(layout.layers[layer], codesOf(layer));
  auto rowByRow = [&] { forRows({scratch, 0}, [&](Value) { accumulate(layout.layers[layer], codesOf(layer)); }); };
  if (isSparse(layout.layers[layer]))
    return rowByRow();
  Value tileEnd = code.advance(scratch, quant::kTileRows * layout.scratchRowBytes);
  ifTrue(code.emit<I32EqOp>(scratchEnd, tileEnd), [&] { accumulateTile(layout.layers[layer], codesOf(layer)); });
  ifTrue(code.emit<I32NeOp>(scratchEnd, tileEnd), rowByRow);
}

void KernelWriter::writeHead(Value y) {
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

Value KernelWriter::residualEnd(const quant::LayerLayout &layer) {
  Value count = code.load<I32LoadOp>(params, layer.residualCountOffset);
  Value rowBytes = code.i32(static_cast<std::int32_t>(quant::residualRowBytes(layer.fanIn)));
  return code.emit<I32AddOp>(residualRows, code.emit<I32MulOp>(count, rowBytes));
}

Value KernelWriter::forResidualRows(const quant::LayerLayout &layer, std::uint32_t step, Value row,
                                    function_ref<void(Value)> body) {
  Value rowBytes = code.i32(static_cast<std::int32_t>(quant::residualRowBytes(layer.fanIn)));
  Value count = code.load<I32LoadOp>(params, layer.residualCountOffset);
  if (step > 1)
    count = code.emit<I32AndOp>(count, code.i32(-static_cast<std::int32_t>(step)));
  Value end = code.emit<I32AddOp>(residualRows, code.emit<I32MulOp>(count, rowBytes));
  auto writeRows = [&](CodeBuilder::Carried carried) -> Value {
    body(carried[0]);
    carried[0] = code.advance(carried[0], step * quant::residualRowBytes(layer.fanIn));
    return code.emit<I32NeOp>(carried[0], end);
  };
  return code.loop({row}, writeRows, code.emit<I32NeOp>(row, end))[0];
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
