// Shorthand for writing LLVM IR: addresses, vectors, loops that walk pointers, and the operations over which
// formats/quant/ActivationMath.h is written.
#pragma once

#include "formats/quant/ActivationMath.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/IR/IRBuilder.h"

namespace kimic::native {

using llvm::ArrayRef;
using llvm::SmallVector;
using llvm::Value;

class IrBuilder : public llvm::IRBuilder<> {
public:
  using llvm::IRBuilder<>::IRBuilder;

  llvm::FixedVectorType *vectorOf(llvm::Type *element, unsigned lanes) {
    return llvm::FixedVectorType::get(element, lanes);
  }
  llvm::Constant *splatConstant(std::int32_t value, unsigned lanes) {
    return llvm::ConstantVector::getSplat(llvm::ElementCount::getFixed(lanes),
                                          getInt32(static_cast<std::uint32_t>(value)));
  }

  /// pointer + bytes
  Value *advance(Value *pointer, std::uint64_t bytes) {
    return bytes == 0 ? pointer : CreateConstInBoundsGEP1_64(getInt8Ty(), pointer, bytes);
  }
  Value *load(llvm::Type *type, Value *pointer, std::uint64_t offset, unsigned align) {
    return CreateAlignedLoad(type, advance(pointer, offset), llvm::Align(align));
  }
  void store(Value *value, Value *pointer, std::uint64_t offset, unsigned align) {
    CreateAlignedStore(value, advance(pointer, offset), llvm::Align(align));
  }
  /// `count` elements of `type` at pointer + offset, the first ones of a vector of `lanes`; the others are 0.
  Value *loadFirst(llvm::Type *element, unsigned count, unsigned lanes, Value *pointer, std::uint64_t offset,
                   unsigned align);
  /// The first `count` lanes.
  void storeFirst(Value *vector, unsigned count, Value *pointer, std::uint64_t offset, unsigned align);

  /// `count` lanes from `first` on.
  Value *slice(Value *vector, unsigned first, unsigned count);

  using Carried = llvm::MutableArrayRef<Value *>;
  using Body = llvm::function_ref<void(ArrayRef<Value *> pointers, Carried carried)>;

  /// A pointer and how many bytes it moves in one iteration.
  struct Walk {
    Value *pointer;
    std::uint64_t stride;
  };

  /// Runs `body` `count` >= 1 times; it gets the walks' pointers and replaces the carried values. The last walk counts
  /// the iterations; a single one is written without a loop. Returns the last carried values, then the last pointers.
  SmallVector<Value *> repeat(std::uint64_t count, ArrayRef<Walk> walks, ArrayRef<Value *> initial, Body body);
  SmallVector<Value *> repeat(std::uint64_t count, std::initializer_list<Walk> walks,
                              std::initializer_list<Value *> initial, Body body) {
    return repeat(count, ArrayRef<Walk>(walks), ArrayRef<Value *>(initial), body);
  }

  /// The same for an i32 `count` that is not known here and may be 0. Returns the last carried values.
  SmallVector<Value *> repeatWhileLeft(Value *count, ArrayRef<Value *> initial, llvm::function_ref<void(Carried)> body);

private:
  llvm::Constant *firstOf(unsigned count, unsigned lanes);
};

/// ActivationMath's operations on vectors of `lanes` elements, or on scalars: lanes = 1. Constants are computed once
/// for all code that one object writes, in front of the loop that is written next.
class Operations {
public:
  using V = Value *;
  using I = Value *;
  using M = Value *;

  Operations(IrBuilder &code, Value *params, const quant::Layout &layout, unsigned lanes)
      : code(code), params(params), layout(layout), lanes(lanes), home(code.GetInsertBlock()) {}

  llvm::Type *floats() { return typeOf(code.getFloatTy()); }
  llvm::Type *integers() { return typeOf(code.getInt32Ty()); }

  V constant(quant::ConstantTable table, unsigned index) { return splatOf(layout.constantsOffset(table) + 4 * index); }
  V literal(float value) { return llvm::ConstantFP::get(floats(), llvm::APFloat(value)); }
  I integer(std::int32_t value) {
    return llvm::ConstantInt::get(integers(), static_cast<std::uint64_t>(std::int64_t{value}), true);
  }
  V add(V a, V b) { return a->getType()->isFPOrFPVectorTy() ? code.CreateFAdd(a, b) : code.CreateAdd(a, b); }
  V sub(V a, V b) { return a->getType()->isFPOrFPVectorTy() ? code.CreateFSub(a, b) : code.CreateSub(a, b); }
  V mul(V a, V b) { return code.CreateFMul(a, b); }
  V div(V a, V b) { return code.CreateFDiv(a, b); }
  V abs(V a) { return number(code.CreateAnd(bits(a), integer(0x7FFFFFFF))); }
  V neg(V a) { return code.CreateFNeg(a); }
  V pmin(V a, V b) { return select(lt(b, a), b, a); }
  V pmax(V a, V b) { return select(lt(a, b), b, a); }
  M lt(V a, V b) { return code.CreateFCmpOLT(a, b); }
  M ge(V a, V b) { return code.CreateFCmpOGE(a, b); }
  V select(M condition, V ifTrue, V ifFalse) { return code.CreateSelect(condition, ifTrue, ifFalse); }
  I bits(V a) { return code.CreateBitCast(a, integers()); }
  V number(I a) { return code.CreateBitCast(a, floats()); }
  I bitXor(I a, I b) { return code.CreateXor(a, b); }
  I shiftLeft(I a, unsigned count) { return code.CreateShl(a, integer(static_cast<std::int32_t>(count))); }

  V convert(I a) { return code.CreateSIToFP(a, floats()); }
  V loadFloats(Value *pointer, std::uint64_t offset, unsigned align = 4) {
    return code.load(floats(), pointer, offset, align);
  }
  I loadIntegers(Value *pointer, std::uint64_t offset) { return code.load(integers(), pointer, offset, 4); }
  /// The f32 at `offset` of the parameter block in every lane.
  V splatOf(std::uint32_t offset);
  V splat(Value *scalar) { return lanes == 1 ? scalar : code.CreateVectorSplat(lanes, scalar); }

private:
  llvm::Type *typeOf(llvm::Type *element) {
    return lanes == 1 ? element : static_cast<llvm::Type *>(code.vectorOf(element, lanes));
  }

  IrBuilder &code;
  Value *params;
  const quant::Layout &layout;
  unsigned lanes;
  llvm::BasicBlock *home;
  llvm::DenseMap<std::uint32_t, Value *> parameters; ///< by offset
};

} // namespace kimic::native
