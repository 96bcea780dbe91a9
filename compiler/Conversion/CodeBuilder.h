// Shorthand for writing code of the `wasm` dialect: addresses, loops that walk pointers, and the operations over which
// formats/quant/ActivationMath.h is written, on scalars and on vectors.
#pragma once

#include "compiler/Dialect/Wasm/Wasm.h"
#include "formats/quant/ActivationMath.h"

#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "llvm/ADT/DenseMap.h"

namespace kimic {

class CodeBuilder : public mlir::ImplicitLocOpBuilder {
public:
  using ImplicitLocOpBuilder::ImplicitLocOpBuilder;
  using Value = mlir::Value;

  template <class Op, class... Operands> Value emit(Operands... operands) { return create<Op>(operands...); }

  Value i32(std::int32_t value) { return emit<wasm::I32ConstOp>(static_cast<std::uint32_t>(value)); }

  /// pointer + bytes
  Value advance(Value pointer, std::uint32_t bytes) {
    return bytes == 0 ? pointer : emit<wasm::I32AddOp>(pointer, i32(static_cast<std::int32_t>(bytes)));
  }

  /// A load or store at `pointer + offset`, an address that 2^align divides.
  template <class Op> Value load(Value pointer, std::uint32_t offset, unsigned align = 4) {
    return create<Op>(pointer, std::uint64_t{offset}, alignment<Op>(align));
  }
  template <class Op> void store(Value pointer, std::uint32_t offset, Value value, unsigned align = 4) {
    create<Op>(pointer, value, std::uint64_t{offset}, alignment<Op>(align));
  }
  template <class Op> Value loadLane(Value pointer, std::uint32_t offset, Value vector, unsigned lane, unsigned align) {
    return create<Op>(pointer, vector, lane, std::uint64_t{offset}, alignment<Op>(align));
  }
  template <class Op> void storeLane(Value pointer, std::uint32_t offset, Value value, unsigned lane, unsigned align) {
    create<Op>(pointer, value, lane, std::uint64_t{offset}, alignment<Op>(align));
  }

  using Carried = mlir::MutableArrayRef<Value>;

  /// A loop of `carried` values. `body` replaces them by the next ones and returns the condition to go on. Returns the
  /// last ones. If there is a guard and it is zero, the body does not run at all.
  mlir::SmallVector<Value> loop(mlir::ArrayRef<Value> initial, llvm::function_ref<Value(Carried carried)> body,
                                Value guard = nullptr);

  /// A pointer and how many bytes it moves in one iteration.
  struct Walk {
    Value pointer;
    std::uint32_t stride;
  };

  /// Runs `body` `count` >= 1 times; it gets the walks' pointers and replaces the carried values. The last walk counts
  /// the iterations; a single one is written without a loop. Returns the last carried values, then the last pointers.
  mlir::SmallVector<Value> repeat(std::uint32_t count, mlir::ArrayRef<Walk> walks, mlir::ArrayRef<Value> initial,
                                  llvm::function_ref<void(mlir::ArrayRef<Value> pointers, Carried carried)> body);

private:
  /// Null for the natural alignment, which goes without saying.
  template <class Op> mlir::IntegerAttr alignment(unsigned align) {
    return align >= Op::kNaturalAlignment ? nullptr : getI32IntegerAttr(static_cast<std::int32_t>(align));
  }
};

/// ActivationMath's operations on f32 scalars.
class ScalarOps {
public:
  using V = mlir::Value;
  using I = mlir::Value;
  using M = mlir::Value;

  ScalarOps(CodeBuilder &code, mlir::Value params, const quant::Layout &layout)
      : code(code), params(params), layout(layout) {}

  V constant(quant::ConstantTable table, unsigned index) {
    return code.load<wasm::F32LoadOp>(params, layout.constantsOffset(table) + 4 * index);
  }
  V literal(float value) { return code.emit<wasm::F32ConstOp>(llvm::APFloat(value)); }
  I integer(std::int32_t value) { return code.i32(value); }
  V add(V a, V b) { return a.getType().isF32() ? code.emit<wasm::F32AddOp>(a, b) : code.emit<wasm::I32AddOp>(a, b); }
  V sub(V a, V b) { return a.getType().isF32() ? code.emit<wasm::F32SubOp>(a, b) : code.emit<wasm::I32SubOp>(a, b); }
  V mul(V a, V b) { return code.emit<wasm::F32MulOp>(a, b); }
  V div(V a, V b) { return code.emit<wasm::F32DivOp>(a, b); }
  V abs(V a) { return code.emit<wasm::F32AbsOp>(a); }
  V neg(V a) { return code.emit<wasm::F32NegOp>(a); }
  V pmin(V a, V b) { return select(lt(b, a), b, a); }
  V pmax(V a, V b) { return select(lt(a, b), b, a); }
  M lt(V a, V b) { return code.emit<wasm::F32LtOp>(a, b); }
  M ge(V a, V b) { return code.emit<wasm::F32GeOp>(a, b); }
  V select(M condition, V ifTrue, V ifFalse) { return code.emit<wasm::SelectOp>(ifTrue, ifFalse, condition); }
  I bits(V a) { return code.emit<wasm::I32ReinterpretF32Op>(a); }
  V number(I a) { return code.emit<wasm::F32ReinterpretI32Op>(a); }
  I bitXor(I a, I b) { return code.emit<wasm::I32XorOp>(a, b); }
  I shiftLeft(I a, unsigned count) { return code.emit<wasm::I32ShlOp>(a, code.i32(static_cast<std::int32_t>(count))); }

private:
  CodeBuilder &code;
  mlir::Value params;
  const quant::Layout &layout;
};

/// Four elements. The f32 form, the i32 form and the mask differ in C++ type only: in WebAssembly all are v128.
template <int Tag> struct Lanes {
  mlir::Value vector;
};

/// ActivationMath's operations on four elements at a time. A constant is computed once for all code that one object
/// writes.
class VectorOps {
public:
  using V = Lanes<0>;
  using I = Lanes<1>;
  using M = Lanes<2>;

  /// Constants are put into `home`, the block where the code stands or that of the loop around it: not into the loop.
  VectorOps(CodeBuilder &code, mlir::Value params, const quant::Layout &layout)
      : code(code), params(params), layout(layout), home(code.getInsertionBlock()) {}

  V constant(quant::ConstantTable table, unsigned index) { return splatOf(layout.constantsOffset(table) + 4 * index); }
  V literal(float value) { return {literalSplat(llvm::bit_cast<std::int32_t>(value))}; }
  I integer(std::int32_t value) { return {literalSplat(value)}; }
  V add(V a, V b) { return {code.emit<wasm::F32x4AddOp>(a.vector, b.vector)}; }
  V sub(V a, V b) { return {code.emit<wasm::F32x4SubOp>(a.vector, b.vector)}; }
  V mul(V a, V b) { return {code.emit<wasm::F32x4MulOp>(a.vector, b.vector)}; }
  V div(V a, V b) { return {code.emit<wasm::F32x4DivOp>(a.vector, b.vector)}; }
  V abs(V a) { return {code.emit<wasm::F32x4AbsOp>(a.vector)}; }
  V neg(V a) { return {code.emit<wasm::F32x4NegOp>(a.vector)}; }
  V pmin(V a, V b) { return {code.emit<wasm::F32x4PminOp>(a.vector, b.vector)}; }
  V pmax(V a, V b) { return {code.emit<wasm::F32x4PmaxOp>(a.vector, b.vector)}; }
  M lt(V a, V b) { return {code.emit<wasm::F32x4LtOp>(a.vector, b.vector)}; }
  M ge(V a, V b) { return {code.emit<wasm::F32x4GeOp>(a.vector, b.vector)}; }
  V select(M mask, V ifTrue, V ifFalse) {
    return {code.emit<wasm::V128BitselectOp>(ifTrue.vector, ifFalse.vector, mask.vector)};
  }
  I bits(V a) { return {a.vector}; }
  V number(I a) { return {a.vector}; }
  I add(I a, I b) { return {code.emit<wasm::I32x4AddOp>(a.vector, b.vector)}; }
  I sub(I a, I b) { return {code.emit<wasm::I32x4SubOp>(a.vector, b.vector)}; }
  I bitXor(I a, I b) { return {code.emit<wasm::V128XorOp>(a.vector, b.vector)}; }
  I shiftLeft(I a, unsigned count) {
    return {code.emit<wasm::I32x4ShlOp>(a.vector, code.i32(static_cast<std::int32_t>(count)))};
  }

  V convert(I a) { return {code.emit<wasm::F32x4ConvertI32x4SOp>(a.vector)}; }

  /// Four elements at `pointer + offset`.
  template <class T> T load(mlir::Value pointer, std::uint32_t offset) {
    return {code.load<wasm::V128LoadOp>(pointer, offset, 2)};
  }
  /// The f32 at `offset` of the parameter block in every lane.
  V splatOf(std::uint32_t offset);

private:
  mlir::Value literalSplat(std::int32_t bits);
  /// The block's operation that contains the insertion point, or null if that stands in `home` itself.
  mlir::Operation *enclosingLoop();

  CodeBuilder &code;
  mlir::Value params;
  const quant::Layout &layout;
  mlir::Block *home;
  llvm::DenseMap<std::int32_t, mlir::Value> literals;
  llvm::DenseMap<std::uint32_t, mlir::Value> parameters; ///< by offset
};

} // namespace kimic
