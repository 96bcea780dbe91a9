#include "compiler/Native/IrBuilder.h"

#include <numeric>

namespace kimic::native {

llvm::Constant *IrBuilder::firstOf(unsigned count, unsigned lanes) {
  SmallVector<llvm::Constant *> mask;
  for (unsigned i = 0; i < lanes; ++i)
    mask.push_back(getInt1(i < count));
  return llvm::ConstantVector::get(mask);
}

Value *IrBuilder::loadFirst(llvm::Type *element, unsigned count, unsigned lanes, Value *pointer, std::uint64_t offset,
                            unsigned align) {
  llvm::Type *type = vectorOf(element, lanes);
  if (count == lanes)
    return load(type, pointer, offset, align);
  return CreateMaskedLoad(type, advance(pointer, offset), llvm::Align(align), firstOf(count, lanes),
                          llvm::Constant::getNullValue(type));
}

void IrBuilder::storeFirst(Value *vector, unsigned count, Value *pointer, std::uint64_t offset, unsigned align) {
  unsigned lanes = llvm::cast<llvm::FixedVectorType>(vector->getType())->getNumElements();
  if (count == lanes)
    return store(vector, pointer, offset, align);
  CreateMaskedStore(vector, advance(pointer, offset), llvm::Align(align), firstOf(count, lanes));
}

Value *IrBuilder::slice(Value *vector, unsigned first, unsigned count) {
  unsigned lanes = llvm::cast<llvm::FixedVectorType>(vector->getType())->getNumElements();
  if (first == 0 && count == lanes)
    return vector;
  SmallVector<int> mask(count);
  std::iota(mask.begin(), mask.end(), static_cast<int>(first));
  return CreateShuffleVector(vector, mask);
}

SmallVector<Value *> IrBuilder::repeat(std::uint64_t count, ArrayRef<Walk> walks, ArrayRef<Value *> initial,
                                       Body body) {
  SmallVector<Value *> carried(initial), pointers;
  for (const Walk &walk : walks)
    pointers.push_back(walk.pointer);
  if (count == 1) {
    body(pointers, carried);
    for (const Walk &walk : walks)
      carried.push_back(advance(walk.pointer, walk.stride));
    return carried;
  }

  llvm::BasicBlock *before = GetInsertBlock();
  llvm::Function *function = before->getParent();
  Value *end = advance(walks.back().pointer, count * walks.back().stride);
  auto *loop = llvm::BasicBlock::Create(getContext(), "loop", function);
  auto *after = llvm::BasicBlock::Create(getContext(), "after", function);
  CreateBr(loop);
  SetInsertPoint(loop);
  SmallVector<llvm::PHINode *> phis;
  for (Value *value : initial)
    phis.push_back(CreatePHI(value->getType(), 2));
  for (Value *pointer : pointers)
    phis.push_back(CreatePHI(pointer->getType(), 2));
  carried.assign(phis.begin(), phis.begin() + initial.size());
  pointers.assign(phis.begin() + initial.size(), phis.end());
  body(pointers, carried);
  for (auto [pointer, walk] : llvm::zip_equal(pointers, walks))
    carried.push_back(advance(pointer, walk.stride));
  for (auto [i, phi] : llvm::enumerate(phis)) {
    phi->addIncoming(i < initial.size() ? initial[i] : walks[i - initial.size()].pointer, before);
    phi->addIncoming(carried[i], GetInsertBlock());
  }
  CreateCondBr(CreateICmpNE(carried.back(), end), loop, after);
  SetInsertPoint(after);
  return carried;
}

SmallVector<Value *> IrBuilder::repeatWhileLeft(Value *count, ArrayRef<Value *> initial,
                                                llvm::function_ref<void(Carried)> body) {
  llvm::BasicBlock *before = GetInsertBlock();
  llvm::Function *function = before->getParent();
  auto *loop = llvm::BasicBlock::Create(getContext(), "loop", function);
  auto *after = llvm::BasicBlock::Create(getContext(), "after", function);
  CreateCondBr(CreateICmpNE(count, getInt32(0)), loop, after);
  SetInsertPoint(loop);
  llvm::PHINode *left = CreatePHI(getInt32Ty(), 2);
  left->addIncoming(count, before);
  SmallVector<llvm::PHINode *> phis;
  for (Value *value : initial) {
    phis.push_back(CreatePHI(value->getType(), 2));
    phis.back()->addIncoming(value, before);
  }
  SmallVector<Value *> carried(phis.begin(), phis.end());
  body(carried);
  Value *next = CreateSub(left, getInt32(1));
  llvm::BasicBlock *last = GetInsertBlock();
  left->addIncoming(next, last);
  CreateCondBr(CreateICmpNE(next, getInt32(0)), loop, after);
  SetInsertPoint(after);
  for (auto [i, phi] : llvm::enumerate(phis)) {
    phi->addIncoming(carried[i], last);
    llvm::PHINode *result = CreatePHI(phi->getType(), 2);
    result->addIncoming(initial[i], before);
    result->addIncoming(carried[i], last);
    carried[i] = result;
  }
  return carried;
}

Value *Operations::splatOf(std::uint32_t offset) {
  Value *&value = parameters[offset];
  if (value)
    return value;
  llvm::IRBuilderBase::InsertPointGuard guard(code);
  if (llvm::Instruction *terminator = home->getTerminator())
    code.SetInsertPoint(terminator);
  else
    code.SetInsertPoint(home);
  return value = splat(code.load(code.getFloatTy(), params, offset, 4));
}

} // namespace kimic::native
