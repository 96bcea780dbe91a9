#include "compiler/Conversion/KernelBuilder.h"

#include "compiler/Conversion/CodeBuilder.h"

#include <algorithm>
#include <memory>

using namespace mlir;

namespace kimic {
namespace {

using namespace wasm;
using quant::ActivationGroup;
using quant::LayerLayout;
using quant::Layout;
using quant::Signature;

/// Outputs that share the 16-byte vectors of a block of weights.
constexpr std::uint32_t kGroupOutputs = 8;

/// What the variants have in common: the order of things. Both work on one row at a time.
class KernelWriter {
public:
  KernelWriter(CodeBuilder &code, const Signature &signature, const Layout &layout)
      : code(code), signature(signature), layout(layout) {}
  virtual ~KernelWriter() = default;

  void write(Block &body) {
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

protected:
  /// A run of outputs with one function.
  struct Run {
    const LayerLayout &layer;
    const ActivationGroup &group;
    std::uint32_t first; ///< output of the layer
    bool isLast;         ///< of the last layer: f32 outputs
  };

  virtual void quantize(Value x) = 0;
  /// The layer's sums, to the accumulators in scratch.
  virtual void accumulate(const LayerLayout &layer, Value codes) = 0;
  /// From the accumulators to codes or outputs.
  virtual void activate(const Run &run, Value y) = 0;

  static bool hasBounds(const Run &run) { return quant::codeKindOf(run.group.function) == quant::CodeKind::Unbounded; }

  /// t of the numeric specification, from the converted accumulators.
  template <class Ops> typename Ops::V clampToLimit(Ops &ops, typename Ops::V limit, typename Ops::V t) {
    return quant::clamp(ops, ops.neg(limit), limit, t);
  }

  CodeBuilder &code;
  const Signature &signature;
  const Layout &layout;
  Value params, scratch;

private:
  void writeRow(Value x, Value y) {
    quantize(x);
    for (std::size_t i = 0; i < layout.layers.size(); ++i) {
      const LayerLayout &layer = layout.layers[i];
      accumulate(layer, code.advance(scratch, layout.codesOffset + 2 * signature.layers[i].readBegin));
      std::uint32_t first = 0;
      for (const ActivationGroup &group : signature.layers[i].groups) {
        activate({layer, group, first, i + 1 == layout.layers.size()}, y);
        first += group.count;
      }
    }
  }
};

class SimdWriter final : public KernelWriter {
public:
  using KernelWriter::KernelWriter;

private:
  void quantize(Value x) override {
    VectorOps ops(code, params, layout);
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
                             for (std::uint32_t g = 0; g < groups; ++g) {
                               Value words = code.load<V128LoadOp>(at[0], 16 * g);
                               acc[2 * g] = code.emit<I32x4AddOp>(acc[2 * g], dotOf(words, pair));
                               Value high = code.emit<I16x8ShrSOp>(words, code.i32(8));
                               acc[2 * g + 1] = code.emit<I32x4AddOp>(acc[2 * g + 1], dotOf(high, pair));
                             }
                           });
    for (std::uint32_t g = 0; g < groups; ++g) {
      Value a = end[2 * g], b = end[2 * g + 1];
      Value shifted = code.emit<I32x4ShlOp>(b, code.i32(8));
      code.store<V128StoreOp>(sums, sumsOffset + 32 * g, code.emit<I32x4SubOp>(a, shifted));
      code.store<V128StoreOp>(sums, sumsOffset + 32 * g + 16, b);
    }
    return end[2 * groups];
  }

  Value dotOf(Value words, Value pair) { return code.emit<I32x4DotI16x8SOp>(words, pair); }

  void activate(const Run &run, Value y) override {
    VectorOps ops(code, params, layout);
    Value result = run.isLast ? y : scratch;
    // Sixteen at a time are faster than eight, by one hundredth of a 64-128-64-16; short runs rather save code.
    std::uint32_t step = run.group.count >= 64 ? 16 : 8;
    std::uint32_t full = run.group.count / step, rest = run.group.count % step;
    if (full)
      code.repeat(full, {{params, 4 * step}, {result, (run.isLast ? 4 : 2) * step}, {scratch, 4 * step}}, {},
                  [&](ArrayRef<Value> at, CodeBuilder::Carried) {
                    activateVectors(ops, run, run.first, step, at[2], at[0], at[1]);
                  });
    if (rest)
      activateVectors(ops, run, run.first + step * full, rest, scratch, params, result);
  }

  /// `count` outputs from `first` on; the pointers are those of the accumulators, the parameters and the result, each
  /// moved by what the loop around has done.
  void activateVectors(VectorOps &ops, const Run &run, std::uint32_t first, std::uint32_t count, Value sums,
                       Value parameters, Value result) {
    const LayerLayout &layer = run.layer;
    SmallVector<VectorOps::I, 4> codes;
    for (std::uint32_t i = 0; i < count; i += 4) {
      std::uint32_t bytes = 4 * (first + i);
      auto array = [&](std::uint32_t offset) { return ops.load<VectorOps::V>(parameters, offset + bytes); };
      auto acc = ops.load<VectorOps::I>(sums, layout.accumulatorsOffset + bytes);
      VectorOps::V t = ops.mul(ops.convert(acc), array(layer.multiplierOffset));
      if (run.group.clamped)
        t = clampToLimit(ops, array(layer.limitOffset), t);
      if (!run.isLast) {
        VectorOps::V v = quant::evaluateCode(ops, run.group.function, t);
        if (hasBounds(run))
          v = quant::clamp(ops, ops.splatOf(layer.boundsOffset), ops.splatOf(layer.boundsOffset + 4), v);
        codes.push_back(quant::roundToCode(ops, v));
        continue;
      }
      VectorOps::V v = quant::evaluateOutput(ops, run.group.function, t);
      if (signature.outputAffine)
        v = ops.add(ops.mul(v, array(layout.outputGainOffset)), array(layout.outputOffsetOffset));
      storePartial(result, bytes, v.vector, std::min(4u, count - i));
    }
    if (!run.isLast)
      storeCodes(codes, result, layout.codesOffset + 2 * (layer.codesBegin + first));
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

/// The same in scalar instructions, for engines without SIMD.
class ScalarWriter final : public KernelWriter {
public:
  using KernelWriter::KernelWriter;

private:
  void quantize(Value x) override {
    ScalarOps ops(code, params, layout);
    Value lo = code.load<F32LoadOp>(params, layout.inputBoundsOffset);
    Value hi = code.load<F32LoadOp>(params, layout.inputBoundsOffset + 4);
    code.repeat(
        signature.inputs, {{params, 4}, {scratch, 2}, {x, 4}}, {}, [&](ArrayRef<Value> at, CodeBuilder::Carried) {
          Value v = ops.mul(code.load<F32LoadOp>(at[2], 0), code.load<F32LoadOp>(at[0], layout.inputScaleOffset));
          storeCode(quant::roundToCode(ops, quant::clamp(ops, lo, hi, v)), at[1], layout.codesOffset);
        });
  }

  /// sat16 and store.
  void storeCode(Value value, Value pointer, std::uint32_t offset) {
    auto bound = [&](Value limit, Value v, Value isInside) { return code.emit<SelectOp>(v, limit, isInside); };
    Value min = code.i32(-32768), max = code.i32(32767);
    value = bound(min, value, code.emit<I32GtSOp>(value, min));
    value = bound(max, value, code.emit<I32LtSOp>(value, max));
    code.store<I32Store16Op>(pointer, offset, value, 1);
  }

  void accumulate(const LayerLayout &layer, Value codes) override {
    auto total =
        code.repeat(layer.fanIn, {{codes, 2}}, {code.i32(0)}, [&](ArrayRef<Value> at, CodeBuilder::Carried sum) {
          sum[0] = code.emit<I32AddOp>(sum[0], code.load<I32Load16SOp>(at[0], 0, 1));
        });
    Value correct = code.emit<I32MulOp>(total[0], code.i32(-128));

    Value block = code.advance(params, layer.blocksOffset);
    if (layer.fullBlocks) {
      std::uint32_t bytes = quant::blockBytes(quant::kBlockOutputs, layer.kPairs);
      auto end = code.repeat(layer.fullBlocks, {{block, bytes}, {scratch, 4 * quant::kBlockOutputs}}, {},
                             [&](ArrayRef<Value> at, CodeBuilder::Carried) {
                               accumulateBlock(quant::kBlockOutputs, layer.kPairs, at[0], codes, correct, at[1],
                                               layout.accumulatorsOffset);
                             });
      block = end[0];
    }
    if (layer.tailOutputs)
      accumulateBlock(layer.tailOutputs, layer.kPairs, block, codes, correct, scratch,
                      layout.accumulatorsOffset + 4 * quant::kBlockOutputs * layer.fullBlocks);
  }

  /// As SimdWriter::accumulateBlock, lane by lane: a group of eight outputs at a time.
  void accumulateBlock(std::uint32_t outputs, std::uint32_t kPairs, Value block, Value codes, Value correct, Value sums,
                       std::uint32_t sumsOffset) {
    code.repeat(outputs / kGroupOutputs, {{block, 32}, {block, 16}, {sums, 32}}, {},
                [&](ArrayRef<Value> group, CodeBuilder::Carried) {
                  SmallVector<Value, 8> initial;
                  for (std::uint32_t lane = 0; lane < 4; ++lane) {
                    initial.push_back(code.emit<I32AddOp>(correct, code.load<I32LoadOp>(group[0], 4 * lane)));
                    initial.push_back(code.load<I32LoadOp>(group[0], 4 * lane + 16));
                  }
                  auto end = code.repeat(kPairs, {{group[1], 2 * outputs}, {codes, 4}}, initial,
                                         [&](ArrayRef<Value> at, CodeBuilder::Carried acc) {
                                           accumulatePair(at[1], at[0], 4 * outputs, acc);
                                         });
                  for (std::uint32_t lane = 0; lane < 4; ++lane) {
                    Value a = end[2 * lane], b = end[2 * lane + 1];
                    Value low = code.emit<I32SubOp>(a, code.emit<I32ShlOp>(b, code.i32(8)));
                    code.store<I32StoreOp>(group[2], sumsOffset + 4 * lane, low);
                    code.store<I32StoreOp>(group[2], sumsOffset + 4 * lane + 16, b);
                  }
                });
  }

  void accumulatePair(Value codes, Value weights, std::uint32_t offset, CodeBuilder::Carried acc) {
    for (std::uint32_t k = 0; k < 2; ++k) {
      Value c = code.load<I32Load16SOp>(codes, 2 * k, 1);
      for (std::uint32_t lane = 0; lane < 4; ++lane) {
        Value word = code.load<I32Load16SOp>(weights, offset + 4 * lane + 2 * k, 1);
        Value &a = acc[2 * lane], &b = acc[2 * lane + 1];
        a = code.emit<I32AddOp>(a, code.emit<I32MulOp>(word, c));
        Value high = code.emit<I32ShrSOp>(word, code.i32(8));
        b = code.emit<I32AddOp>(b, code.emit<I32MulOp>(high, c));
      }
    }
  }

  void activate(const Run &run, Value y) override {
    ScalarOps ops(code, params, layout);
    const LayerLayout &layer = run.layer;
    code.repeat(
        run.group.count, {{params, 4}, {run.isLast ? y : scratch, run.isLast ? 4u : 2u}, {scratch, 4}}, {},
        [&](ArrayRef<Value> at, CodeBuilder::Carried) {
          auto array = [&](std::uint32_t offset) { return code.load<F32LoadOp>(at[0], offset + 4 * run.first); };
          Value acc = code.load<I32LoadOp>(at[2], layout.accumulatorsOffset + 4 * run.first);
          Value t = ops.mul(code.emit<F32ConvertI32SOp>(acc), array(layer.multiplierOffset));
          if (run.group.clamped)
            t = clampToLimit(ops, array(layer.limitOffset), t);
          if (!run.isLast) {
            Value v = quant::evaluateCode(ops, run.group.function, t);
            if (hasBounds(run))
              v = quant::clamp(ops, code.load<F32LoadOp>(params, layer.boundsOffset),
                               code.load<F32LoadOp>(params, layer.boundsOffset + 4), v);
            storeCode(quant::roundToCode(ops, v), at[1], layout.codesOffset + 2 * (layer.codesBegin + run.first));
            return;
          }
          Value v = quant::evaluateOutput(ops, run.group.function, t);
          if (signature.outputAffine)
            v = ops.add(ops.mul(v, array(layout.outputGainOffset)), array(layout.outputOffsetOffset));
          code.store<F32StoreOp>(at[1], 4 * run.first, v);
        });
  }
};

} // namespace

KernelModuleBuilder::KernelModuleBuilder(OpBuilder &at, Location loc) : builder(at.getContext()) {
  kernels = at.create<ModuleOp>(loc, abi::kImportModule, abi::kImportMemory);
  builder.setInsertionPointToEnd(&kernels.getBody().emplaceBlock());
}

void KernelModuleBuilder::add(StringRef name, const Signature &signature, const Layout &layout, abi::Variant variant) {
  SmallVector<Type> parameters(abi::kParameterCount, builder.getI32Type());
  std::string exportName = abi::kExportPrefix + std::to_string(count++);
  auto func = builder.create<FuncOp>(kernels.getLoc(), name, builder.getFunctionType(parameters, {}), exportName);

  CodeBuilder code(kernels.getLoc(), builder.getContext());
  Block &body = func.getBody().front();
  if (variant == abi::Variant::Scalar)
    ScalarWriter(code, signature, layout).write(body);
  else
    SimdWriter(code, signature, layout).write(body);
}

void KernelModuleBuilder::finish() {
  const char version = abi::kVersion;
  builder.create<CustomOp>(kernels.getLoc(), abi::kCustomSection, StringRef(&version, 1));
}

} // namespace kimic
