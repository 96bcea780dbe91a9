#include "compiler/Conversion/CodeBuilder.h"

using namespace mlir;

namespace kimic {

SmallVector<Value> CodeBuilder::loop(ArrayRef<Value> initial, function_ref<Value(Carried)> body) {
  auto op = create<wasm::LoopOp>(ValueRange(initial).getTypes(), initial);
  Block &block = op.getBody().emplaceBlock();
  SmallVector<Value> carried;
  for (Value value : initial)
    carried.push_back(block.addArgument(value.getType(), getLoc()));
  InsertionGuard guard(*this);
  setInsertionPointToStart(&block);
  Value condition = body(carried);
  create<wasm::ContinueOp>(condition, carried);
  return SmallVector<Value>(op.getResults());
}

SmallVector<Value> CodeBuilder::repeat(std::uint32_t count, ArrayRef<Walk> walks, ArrayRef<Value> initial,
                                       function_ref<void(ArrayRef<Value>, Carried)> body) {
  SmallVector<Value> all;
  for (const Walk &walk : walks)
    all.push_back(walk.pointer);
  all.append(initial.begin(), initial.end());

  auto runOnce = [&](Carried carried) {
    body(ArrayRef<Value>(carried).take_front(walks.size()), carried.drop_front(walks.size()));
    // The counting pointer last: its next value is compared at once.
    for (std::size_t i = walks.size(); i-- > 0;)
      carried[i] = advance(carried[i], walks[i].stride);
  };
  if (count == 1) {
    runOnce(all);
    return all;
  }
  Value end = advance(walks[0].pointer, count * walks[0].stride);
  return loop(all, [&](Carried carried) -> Value {
    runOnce(carried);
    return emit<wasm::I32NeOp>(carried[0], end);
  });
}

Value VectorOps::hoistedSplat(std::int32_t bits) {
  Value &splat = literals[bits];
  if (!splat) {
    OpBuilder::InsertionGuard guard(code);
    if (code.getInsertionBlock() != home)
      code.setInsertionPoint(home->findAncestorOpInBlock(*code.getInsertionBlock()->getParentOp()));
    splat = code.emit<wasm::I32x4SplatOp>(code.i32(bits));
  }
  return splat;
}

} // namespace kimic
