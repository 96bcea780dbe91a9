#include "compiler/Conversion/CodeBuilder.h"

using namespace mlir;

namespace kimic {

SmallVector<Value> CodeBuilder::loop(ArrayRef<Value> initial, function_ref<Value(Carried)> body, Value guard) {
  auto op = create<wasm::LoopOp>(ValueRange(initial).getTypes(), guard, initial);
  Block &block = op.getBody().emplaceBlock();
  SmallVector<Value> carried;
  for (Value value : initial)
    carried.push_back(block.addArgument(value.getType(), getLoc()));
  InsertionGuard restore(*this);
  setInsertionPointToStart(&block);
  Value condition = body(carried);
  create<wasm::ContinueOp>(condition, carried);
  return SmallVector<Value>(op.getResults());
}

SmallVector<Value> CodeBuilder::repeat(std::uint32_t count, ArrayRef<Walk> walks, ArrayRef<Value> initial,
                                       function_ref<void(ArrayRef<Value>, Carried)> body) {
  // Pointers behind the values: an initial value that is loaded through a pointer comes before the pointer moves on.
  SmallVector<Value> all(initial);
  for (const Walk &walk : walks)
    all.push_back(walk.pointer);
  auto runOnce = [&](Carried carried) {
    body(ArrayRef<Value>(carried).take_back(walks.size()), carried.drop_back(walks.size()));
    for (auto [pointer, walk] : llvm::zip_equal(carried.take_back(walks.size()), walks))
      pointer = advance(pointer, walk.stride);
  };
  if (count == 1) {
    runOnce(all);
    return all;
  }
  Value end = advance(walks.back().pointer, count * walks.back().stride);
  return loop(all, [&](Carried carried) -> Value {
    runOnce(carried);
    return emit<wasm::I32NeOp>(carried.back(), end);
  });
}

Operation *VectorOps::enclosingLoop() {
  Block *block = code.getInsertionBlock();
  return block == home ? nullptr : home->findAncestorOpInBlock(*block->getParentOp());
}

VectorOps::V VectorOps::splatOf(std::uint32_t offset) {
  Value &splat = parameters[offset];
  if (!splat) {
    OpBuilder::InsertionGuard guard(code);
    if (Operation *loop = enclosingLoop())
      code.setInsertionPoint(loop);
    splat = code.load<wasm::V128Load32SplatOp>(params, offset);
  }
  return {splat};
}

Value VectorOps::literalSplat(std::int32_t bits) {
  Value &splat = literals[bits];
  if (!splat) {
    OpBuilder::InsertionGuard guard(code);
    if (Operation *loop = enclosingLoop())
      code.setInsertionPoint(loop);
    splat = code.emit<wasm::I32x4SplatOp>(code.i32(bits));
  }
  return splat;
}

} // namespace kimic
