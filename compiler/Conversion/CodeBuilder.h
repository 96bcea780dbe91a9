// Shorthand for writing code of the `wasm` dialect: addresses, loops that walk pointers, and the operations over which
// formats/quant/ActivationMath.h is written, on scalars and on bundles of vectors.
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
  /// last ones.
  mlir::SmallVector<Value> loop(mlir::ArrayRef<Value> initial, llvm::function_ref<Value(Carried carried)> body);

  /// A pointer and how many bytes it moves in one iteration.
  struct Walk {
    Value pointer;
    std::uint32_t stride;
  };

  /// Runs `body` `count` >= 1 times; it gets the walks' pointers and replaces the carried values. The first walk counts
  /// the iterations; a single one is written without a loop. Returns the last pointers, then the last carried values.
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

/// A run of consecutive elements in vectors of four. Its f32 and i32 form differ in C++ type only: in WebAssembly both
/// are v128.
template <int Tag> struct Bundle {
  mlir::SmallVector<mlir::Value, 4> vectors;
};

/// ActivationMath's operations on bundles of `width` vectors: each constant is loaded once for all of them.
class VectorOps {
public:
  using V = Bundle<0>;
  using I = Bundle<1>;
  using M = Bundle<2>;

  /// Literals are put into `home`, the block where the code stands or that of the loop around it: not into the loop.
  VectorOps(CodeBuilder &code, mlir::Value params, const quant::Layout &layout)
      : code(code), params(params), layout(layout), home(code.getInsertionBlock()) {}

  /// The number of vectors from here on.
  void setWidth(unsigned count) { width = count; }

  V constant(quant::ConstantTable table, unsigned index) {
    return splat<V>(code.load<wasm::V128Load32SplatOp>(params, layout.constantsOffset(table) + 4 * index));
  }
  V literal(float value) { return splat<V>(hoistedSplat(llvm::bit_cast<std::int32_t>(value))); }
  I integer(std::int32_t value) { return splat<I>(hoistedSplat(value)); }
  V add(const V &a, const V &b) { return map<V, wasm::F32x4AddOp>(a, b); }
  V sub(const V &a, const V &b) { return map<V, wasm::F32x4SubOp>(a, b); }
  V mul(const V &a, const V &b) { return map<V, wasm::F32x4MulOp>(a, b); }
  V div(const V &a, const V &b) { return map<V, wasm::F32x4DivOp>(a, b); }
  V abs(const V &a) { return map<V, wasm::F32x4AbsOp>(a); }
  V neg(const V &a) { return map<V, wasm::F32x4NegOp>(a); }
  V pmin(const V &a, const V &b) { return map<V, wasm::F32x4PminOp>(a, b); }
  V pmax(const V &a, const V &b) { return map<V, wasm::F32x4PmaxOp>(a, b); }
  M lt(const V &a, const V &b) { return map<M, wasm::F32x4LtOp>(a, b); }
  M ge(const V &a, const V &b) { return map<M, wasm::F32x4GeOp>(a, b); }
  V select(const M &mask, const V &ifTrue, const V &ifFalse) {
    return map<V, wasm::V128BitselectOp>(ifTrue, ifFalse, mask);
  }
  I bits(const V &a) { return {a.vectors}; }
  V number(const I &a) { return {a.vectors}; }
  I add(const I &a, const I &b) { return map<I, wasm::I32x4AddOp>(a, b); }
  I sub(const I &a, const I &b) { return map<I, wasm::I32x4SubOp>(a, b); }
  I bitXor(const I &a, const I &b) { return map<I, wasm::V128XorOp>(a, b); }
  I shiftLeft(const I &a, unsigned count) {
    mlir::Value amount = code.i32(static_cast<std::int32_t>(count));
    I result;
    for (mlir::Value vector : a.vectors)
      result.vectors.push_back(code.emit<wasm::I32x4ShlOp>(vector, amount));
    return result;
  }

  V convert(const I &a) { return map<V, wasm::F32x4ConvertI32x4SOp>(a); }

  /// All vectors of a bundle from consecutive memory.
  template <class B> B load(mlir::Value pointer, std::uint32_t offset) {
    B result;
    for (unsigned i = 0; i < width; ++i)
      result.vectors.push_back(code.load<wasm::V128LoadOp>(pointer, offset + 16 * i, 2));
    return result;
  }
  /// The f32 at `pointer + offset` in every lane.
  V loadSplat(mlir::Value pointer, std::uint32_t offset) {
    return splat<V>(code.load<wasm::V128Load32SplatOp>(pointer, offset));
  }
  template <class B> B splat(mlir::Value vector) { return {mlir::SmallVector<mlir::Value, 4>(width, vector)}; }

private:
  template <class R, class Op, class A, class... B> R map(const A &a, const B &...b) {
    R result;
    for (unsigned i = 0; i < width; ++i)
      result.vectors.push_back(code.emit<Op>(a.vectors[i], b.vectors[i]...));
    return result;
  }

  mlir::Value hoistedSplat(std::int32_t bits);

  CodeBuilder &code;
  mlir::Value params;
  const quant::Layout &layout;
  mlir::Block *home;
  unsigned width = 1;
  llvm::DenseMap<std::int32_t, mlir::Value> literals;
};

} // namespace kimic
