#include "compiler/Conversion/KernelWriter.h"

#include <algorithm>

using namespace mlir;

namespace kimic {
namespace {

using namespace wasm;
using quant::LayerLayout;

class SimdWriter final : public KernelWriter {
public:
  using KernelWriter::KernelWriter;

private:
  void readInputs(Value x) override {
    VectorOps ops(code, params, layout);
    if (isFloat())
      return readFloats(ops, x);
    // Eight inputs to eight codes; `offset` counts inputs from where the pointers are.
    auto write = [&](ArrayRef<VectorOps::V> values, Value scales, Value codes, std::uint32_t offset) {
      SmallVector<VectorOps::I, 4> rounded;
      for (auto [i, value] : llvm::enumerate(values)) {
        auto scale = ops.load<VectorOps::V>(scales, layout.inputScaleOffset + 4 * offset + 16 * i);
        VectorOps::V lo = ops.splatOf(layout.inputBoundsOffset), hi = ops.splatOf(layout.inputBoundsOffset + 4);
        rounded.push_back(quant::roundToCode(ops, quant::clamp(ops, lo, hi, ops.mul(value, scale))));
      }
      storeCodes(rounded, codes, layout.codesOffset + 2 * offset);
    };
    auto load = [&](Value pointer, std::uint32_t offset) { return ops.load<VectorOps::V>(pointer, offset); };

    std::uint32_t full = signature.inputs / 8, rest = signature.inputs % 8;
    if (full)
      code.repeat(full, {{params, 32}, {scratch, 16}, {x, 32}}, {}, [&](ArrayRef<Value> at, CodeBuilder::Carried) {
        write({load(at[2], 0), load(at[2], 16)}, at[0], at[1], 0);
      });
    if (!rest)
      return;
    if (full) {
      // The last eight once more: reading x further on could leave it.
      std::uint32_t first = signature.inputs - 8;
      write({load(x, 4 * first), load(x, 4 * first + 16)}, params, scratch, first);
      return;
    }
    SmallVector<VectorOps::V, 2> values = {{loadPartial(x, 0, std::min(rest, 4u))}};
    if (rest > 4)
      values.push_back({loadPartial(x, 16, rest - 4)});
    write(values, params, scratch, 0);
  }

  void readFloats(VectorOps &ops, Value x) {
    auto write = [&](Value vector, Value values, std::uint32_t offset) {
      VectorOps::V lo = ops.splatOf(layout.inputBoundsOffset), hi = ops.splatOf(layout.inputBoundsOffset + 4);
      VectorOps::V v = quant::clamp(ops, lo, hi, {vector});
      code.store<V128StoreOp>(values, layout.codesOffset + offset, v.vector, 2);
    };
    std::uint32_t full = signature.inputs / 4, rest = signature.inputs % 4;
    if (full)
      code.repeat(full, {{scratch, 16}, {x, 16}}, {},
                  [&](ArrayRef<Value> at, CodeBuilder::Carried) { write(loadPartial(at[1], 0, 4), at[0], 0); });
    if (rest)
      write(loadPartial(x, 16 * full, rest), scratch, 16 * full);
  }

  /// `count` 1 to 4 f32, the other lanes 0.
  Value loadPartial(Value pointer, std::uint32_t offset, std::uint32_t count) {
    if (count == 4)
      return code.load<V128LoadOp>(pointer, offset, 2);
    if (count == 1)
      return code.load<V128Load32ZeroOp>(pointer, offset, 2);
    Value pair = code.load<V128Load64ZeroOp>(pointer, offset, 2);
    if (count == 2)
      return pair;
    return code.loadLane<V128Load32LaneOp>(pointer, offset + 8, pair, 2, 2);
  }

  /// Vectors in pairs to eight codes each; an odd last vector fills both halves.
  void storeCodes(ArrayRef<VectorOps::I> codes, Value pointer, std::uint32_t offset) {
    for (std::size_t i = 0; i < codes.size(); i += 2) {
      Value second = codes[std::min(i + 1, codes.size() - 1)].vector;
      Value narrow = code.emit<I16x8NarrowI32x4SOp>(codes[i].vector, second);
      code.store<V128StoreOp>(pointer, offset + 8 * i, narrow, 1);
    }
  }

  /// -128 * the sum of `count` codes, in every lane.
  Value correction(Value codes, std::uint32_t count) {
    Value factor = code.emit<I16x8SplatOp>(code.i32(-128));
    auto dot = [&](Value pointer, std::uint32_t offset) -> Value {
      return code.emit<I32x4DotI16x8SOp>(code.load<V128LoadOp>(pointer, offset, 1), factor);
    };
    Value sum;
    auto add = [&](Value term) { sum = sum ? code.emit<I32x4AddOp>(sum, term) : term; };

    std::uint32_t full = count / 32, vectors = count % 32 / 8, rest = count % 8;
    if (full) {
      Value zero = code.emit<I32x4SplatOp>(code.i32(0));
      auto end = code.repeat(full, {{codes, 64}}, {zero, zero}, [&](ArrayRef<Value> at, CodeBuilder::Carried sums) {
        for (std::uint32_t i = 0; i < 4; ++i)
          sums[i % 2] = code.emit<I32x4AddOp>(sums[i % 2], dot(at[0], 16 * i));
      });
      sum = code.emit<I32x4AddOp>(end[0], end[1]);
    }
    for (std::uint32_t i = 0; i < vectors; ++i)
      add(dot(codes, 64 * full + 16 * i));
    if (rest) {
      // Behind the last code may stand anything.
      std::array<std::int8_t, 16> lanes;
      for (std::uint32_t i = 0; i < 16; ++i)
        lanes[i] = static_cast<std::int8_t>(i < 2 * rest ? i : 16);
      Value zero = code.emit<I32x4SplatOp>(code.i32(0));
      Value last = code.load<V128LoadOp>(codes, 64 * full + 16 * vectors, 1);
      Value masked = code.emit<I8x16ShuffleOp>(last, zero, ArrayRef<std::int8_t>(lanes));
      add(code.emit<I32x4DotI16x8SOp>(masked, factor));
    }
    constexpr std::int8_t kSwapHalves[] = {8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7};
    constexpr std::int8_t kSwapWords[] = {4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11};
    for (ArrayRef<std::int8_t> lanes : {ArrayRef(kSwapHalves), ArrayRef(kSwapWords)})
      add(code.emit<I8x16ShuffleOp>(sum, sum, lanes));
    return sum;
  }

  void accumulate(const LayerLayout &layer, Value codes) override {
    if (isFloat())
      return accumulateFloats(layer, codes);
    Value correct = correction(codes, layer.fanIn);
    Value weights = code.advance(params, layer.blocksOffset);
    if (layer.fullBlocks) {
      auto end = code.repeat(layer.fullBlocks, {{scratch, 4 * quant::kBlockOutputs}}, {weights},
                             [&](ArrayRef<Value> sums, CodeBuilder::Carried block) {
                               block[0] = accumulateBlock(quant::kBlockOutputs, layer.kPairs, block[0], codes, correct,
                                                          sums[0], layout.accumulatorsOffset);
                             });
      weights = end[0];
    }
    if (layer.tailOutputs)
      accumulateBlock(layer.tailOutputs, layer.kPairs, weights, codes, correct, scratch,
                      layout.accumulatorsOffset + 4 * quant::kBlockOutputs * layer.fullBlocks);
    if (hasResiduals())
      writeResiduals(layer, codes, correct);
  }

  /// Sums of one block of `outputs` outputs; returns the address of the next block.
  ///
  /// A 16-bit word X of weights is 256 h + l + 128. With A = sum X c and B = sum (X >> 8) c = sum h c, the sum of l c
  /// is A - 256 B - 128 sum c, mod 2^32 (quantization-v1, "Blocks").
  Value accumulateBlock(std::uint32_t outputs, std::uint32_t kPairs, Value block, Value codes, Value correct,
                        Value sums, std::uint32_t sumsOffset) {
    std::uint32_t groups = outputs / kGroupOutputs;
    SmallVector<Value, 8> initial;
    for (std::uint32_t g = 0; g < groups; ++g) {
      initial.push_back(code.emit<I32x4AddOp>(correct, code.load<V128LoadOp>(block, 32 * g)));
      initial.push_back(code.load<V128LoadOp>(block, 32 * g + 16));
    }
    Value weights = code.advance(block, 4 * outputs);
    auto end = code.repeat(kPairs, {{weights, 2 * outputs}, {codes, 4}}, initial,
                           [&](ArrayRef<Value> at, CodeBuilder::Carried acc) {
                             Value pair = code.load<V128Load32SplatOp>(at[1], 0, 1);
                             for (std::uint32_t g = 0; g < groups; ++g)
                               addProducts(code.load<V128LoadOp>(at[0], 16 * g), pair, acc.slice(2 * g, 2));
                           });
    for (std::uint32_t g = 0; g < groups; ++g) {
      Value a = end[2 * g], b = end[2 * g + 1];
      code.store<V128StoreOp>(sums, sumsOffset + 32 * g, lowOf(a, b));
      code.store<V128StoreOp>(sums, sumsOffset + 32 * g + 16, b);
    }
    return end[2 * groups];
  }

  /// Of one group and pair, to A and B.
  void addProducts(Value words, Value pair, CodeBuilder::Carried acc) {
    acc[0] = code.emit<I32x4AddOp>(acc[0], code.emit<I32x4DotI16x8SOp>(words, pair));
    Value high = code.emit<I16x8ShrSOp>(words, code.i32(8));
    acc[1] = code.emit<I32x4AddOp>(acc[1], code.emit<I32x4DotI16x8SOp>(high, pair));
  }

  Value lowOf(Value a, Value b) {
    Value shifted = code.emit<I32x4ShlOp>(b, code.i32(8));
    return code.emit<I32x4SubOp>(a, shifted);
  }

  void writeResiduals(const LayerLayout &layer, Value codes, Value correct) {
    Value zero = code.emit<I32x4SplatOp>(code.i32(0));
    code.repeat(quant::residualGroups(layer.outputs), {{scratch, 4 * quant::kResidualOutputs}}, {},
                [&](ArrayRef<Value> at, CodeBuilder::Carried) {
                  code.store<V128StoreOp>(at[0], layout.residualsOffset, zero);
                  code.store<V128StoreOp>(at[0], layout.residualsOffset + 16, zero);
                });
    forResidualBlocks(layer, [&](Value block, Value target) -> Value {
      auto end = code.repeat(layer.kPairs, {{block, 16}, {codes, 4}}, {correct, zero},
                             [&](ArrayRef<Value> at, CodeBuilder::Carried acc) {
                               Value pair = code.load<V128Load32SplatOp>(at[1], 0, 1);
                               addProducts(code.load<V128LoadOp>(at[0], quant::kResidualWeightsOffset), pair, acc);
                             });
      Value sums[] = {lowOf(end[0], end[1]), end[1]};
      for (std::uint32_t i = 0; i < 2; ++i) {
        Value multiplier = code.load<V128LoadOp>(block, quant::kResidualMultiplierOffset + 16 * i);
        Value residual = code.emit<F32x4MulOp>(code.emit<F32x4ConvertI32x4SOp>(sums[i]), multiplier);
        code.store<V128StoreOp>(target, layout.residualsOffset + 16 * i, residual);
      }
      return code.advance(end[2], quant::kResidualWeightsOffset);
    });
  }

  void accumulateFloats(const LayerLayout &layer, Value values) {
    constexpr std::uint32_t kOutputs = quant::kFloatBlockOutputs;
    Value block = code.advance(params, layer.blocksOffset);
    if (layer.fullBlocks)
      block = code.repeat(
          layer.fullBlocks, {{block, quant::floatBlockBytes(kOutputs, layer.fanIn)}, {scratch, 4 * kOutputs}}, {},
          [&](ArrayRef<Value> at, CodeBuilder::Carried) {
            accumulateFloatBlock(kOutputs, layer.fanIn, at[0], values, at[1], layout.accumulatorsOffset);
          })[0];
    if (layer.tailOutputs)
      accumulateFloatBlock(layer.tailOutputs, layer.fanIn, block, values, scratch,
                           layout.accumulatorsOffset + 4 * kOutputs * layer.fullBlocks);
  }

  /// The order of the additions is part of the result: one product after the other.
  void accumulateFloatBlock(std::uint32_t outputs, std::uint32_t fanIn, Value block, Value values, Value sums,
                            std::uint32_t sumsOffset) {
    SmallVector<Value, 4> initial;
    for (std::uint32_t i = 0; i < outputs / 4; ++i)
      initial.push_back(code.load<V128LoadOp>(block, 16 * i));
    Value weights = code.advance(block, 4 * outputs);
    auto end = code.repeat(fanIn, {{weights, 4 * outputs}, {values, 4}}, initial,
                           [&](ArrayRef<Value> at, CodeBuilder::Carried acc) {
                             Value value = code.load<V128Load32SplatOp>(at[1], 0);
                             for (auto [i, sum] : llvm::enumerate(acc)) {
                               Value four = code.load<V128LoadOp>(at[0], 16 * i);
                               sum = code.emit<F32x4AddOp>(sum, code.emit<F32x4MulOp>(four, value));
                             }
                           });
    for (std::uint32_t i = 0; i < outputs / 4; ++i)
      code.store<V128StoreOp>(sums, sumsOffset + 16 * i, end[i]);
  }

  void activate(const Run &run, Value y) override {
    VectorOps ops(code, params, layout);
    Target target = targetOf(run);
    Value result = target.isExact ? y : scratch;
    // Sixteen at a time are faster than eight, by one hundredth of a 64-128-64-16; short runs rather save code.
    std::uint32_t step = run.group.count >= 64 ? 16 : 8;
    std::uint32_t full = run.group.count / step, rest = run.group.count % step;
    if (full)
      code.repeat(
          full, {{params, 4 * step}, {result, target.stride * step}, {scratch, 4 * step}}, {},
          [&](ArrayRef<Value> at, CodeBuilder::Carried) { activateVectors(ops, run, 0, step, at[2], at[0], at[1]); });
    if (rest)
      activateVectors(ops, run, step * full, rest, scratch, params, result);
  }

  /// `count` outputs from the run's `begin`-th one on; the pointers are those of the accumulators, the parameters and
  /// the result, each moved by what the loop around has done.
  void activateVectors(VectorOps &ops, const Run &run, std::uint32_t begin, std::uint32_t count, Value sums,
                       Value parameters, Value result) {
    const LayerLayout &layer = run.layer;
    Target target = targetOf(run);
    SmallVector<VectorOps::I, 4> codes;
    for (std::uint32_t i = 0; i < count; i += 4) {
      std::uint32_t bytes = 4 * (run.first + begin + i);
      auto array = [&](std::uint32_t offset) { return ops.load<VectorOps::V>(parameters, offset + bytes); };
      auto residual = [&] { return ops.load<VectorOps::V>(sums, layout.residualsOffset + bytes); };
      std::uint32_t offset = layout.accumulatorsOffset + bytes;
      VectorOps::V acc =
          isFloat() ? ops.load<VectorOps::V>(sums, offset) : ops.convert(ops.load<VectorOps::I>(sums, offset));
      VectorOps::V t = preActivation(ops, run, acc, array, residual);
      if (run.isLast || isFloat()) {
        VectorOps::V v = evaluate(ops, run, t, array);
        storePartial(result, target.offset + 4 * (begin + i), v.vector, target.isExact ? std::min(4u, count - i) : 4);
        continue;
      }
      VectorOps::V v = quant::evaluateCode(ops, run.group.function, t);
      if (hasBounds(run))
        v = quant::clamp(ops, ops.splatOf(layer.boundsOffset), ops.splatOf(layer.boundsOffset + 4), v);
      codes.push_back(quant::roundToCode(ops, v));
    }
    storeCodes(codes, result, target.offset + 2 * begin);
  }

  void writeSoftmax(Value y) override {
    VectorOps ops(code, params, layout);
    ScalarOps scalar(code, params, layout);
    std::uint32_t count = signature.logits(), full = count / 4, rest = count % 4;
    auto load = [&](Value pointer) { return ops.load<VectorOps::V>(pointer, layout.logitsOffset); };
    auto store = [&](Value pointer, VectorOps::V v) {
      code.store<V128StoreOp>(pointer, layout.logitsOffset, v.vector);
    };
    Value behind = code.advance(scratch, 16 * full);
    // Replaces all logits by `map` of them and folds the results by `next`: lane by lane, then the lanes, then the
    // rest. The order is part of the result.
    auto pass = [&](VectorOps::V initial, function_ref<VectorOps::V(VectorOps::V)> map,
                    function_ref<VectorOps::V(VectorOps::V, VectorOps::V)> nextVector,
                    function_ref<Value(Value, Value)> next) -> VectorOps::V {
      Value result;
      auto lane = [&](Value vector, std::uint32_t i) -> Value { return code.emit<F32x4ExtractLaneOp>(vector, i); };
      if (full) {
        Value lanes =
            code.repeat(full, {{scratch, 16}}, {initial.vector}, [&](ArrayRef<Value> at, CodeBuilder::Carried known) {
              VectorOps::V v = map(load(at[0]));
              store(at[0], v);
              known[0] = nextVector({known[0]}, v).vector;
            })[0];
        result = next(next(lane(lanes, 0), lane(lanes, 1)), next(lane(lanes, 2), lane(lanes, 3)));
      }
      if (rest) {
        VectorOps::V v = map(load(behind));
        store(behind, v);
        for (unsigned i = 0; i < rest; ++i)
          result = result ? next(result, lane(v.vector, i)) : lane(v.vector, i);
      }
      return {code.emit<F32x4SplatOp>(result)};
    };

    VectorOps::V scale = ops.splatOf(layout.headScaleOffset);
    auto scaled = [&](VectorOps::V v) { return ops.mul(v, scale); };
    VectorOps::V largest = pass(
        full ? scaled(load(scratch)) : VectorOps::V{}, scaled,
        [&](VectorOps::V a, VectorOps::V b) { return ops.pmax(a, b); },
        [&](Value a, Value b) { return scalar.pmax(a, b); });
    VectorOps::V sum = pass(
        ops.literal(0.0f), [&](VectorOps::V v) { return quant::evaluateExp(ops, ops.sub(v, largest)); },
        [&](VectorOps::V a, VectorOps::V b) { return ops.add(a, b); },
        [&](Value a, Value b) { return scalar.add(a, b); });
    if (full)
      code.repeat(full, {{scratch, 16}, {y, 16}}, {}, [&](ArrayRef<Value> at, CodeBuilder::Carried) {
        storePartial(at[1], 0, ops.div(load(at[0]), sum).vector, 4);
      });
    if (rest)
      storePartial(y, 16 * full, ops.div(load(behind), sum).vector, rest);
  }

  /// The first `count` 1 to 4 lanes.
  void storePartial(Value pointer, std::uint32_t offset, Value vector, std::uint32_t count) {
    if (count == 4)
      return code.store<V128StoreOp>(pointer, offset, vector, 2);
    if (count >= 2)
      code.storeLane<V128Store64LaneOp>(pointer, offset, vector, 0, 2);
    if (count % 2)
      code.storeLane<V128Store32LaneOp>(pointer, offset + 4 * (count - 1), vector, count - 1, 2);
  }
};

} // namespace

std::unique_ptr<KernelWriter> makeSimdWriter(CodeBuilder &code, const quant::Signature &signature,
                                             const quant::Layout &layout) {
  return std::make_unique<SimdWriter>(code, signature, layout);
}

} // namespace kimic
