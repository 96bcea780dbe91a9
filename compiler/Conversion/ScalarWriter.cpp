#include "compiler/Conversion/KernelWriter.h"

using namespace mlir;

namespace kimic {
namespace {

using namespace wasm;
using quant::LayerLayout;

/// For engines without SIMD.
class ScalarWriter final : public KernelWriter {
public:
  using KernelWriter::KernelWriter;

private:
  bool hasTiles() const override { return false; }
  void prepare(const LayerLayout &, Value) override {}
  void accumulateTile(const LayerLayout &, Value) override { llvm_unreachable("has no tiles"); }

  void readInputs(Value x) override {
    ScalarOps ops(code, params, layout);
    Value lo = code.load<F32LoadOp>(params, layout.inputBoundsOffset);
    Value hi = code.load<F32LoadOp>(params, layout.inputBoundsOffset + 4);
    if (isFloat()) {
      code.repeat(signature.inputs, {{scratch, 4}, {x, 4}}, {}, [&](ArrayRef<Value> at, CodeBuilder::Carried) {
        Value v = quant::clamp(ops, lo, hi, code.load<F32LoadOp>(at[1], 0));
        code.store<F32StoreOp>(at[0], layout.codesOffset, v);
      });
      return;
    }
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
    if (isFloat())
      return accumulateFloats(layer, codes);
    if (layer.blockedOutputs())
      accumulateBlocks(layer, codes);
    if (layer.rowOutputs)
      accumulateRows(layer, codes);
    if (hasResiduals())
      writeResiduals(layer, codes);
  }

  void accumulateBlocks(const LayerLayout &layer, Value codes) {
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
                               accumulateBlock(layer, quant::kBlockOutputs, at[0], codes, correct, at[1],
                                               layout.accumulatorsOffset);
                             });
      block = end[0];
    }
    if (layer.tailOutputs)
      accumulateBlock(layer, layer.tailOutputs, block, codes, correct, scratch,
                      layout.accumulatorsOffset + 4 * quant::kBlockOutputs * layer.fullBlocks);
  }

  void accumulateRows(const LayerLayout &layer, Value codes) {
    Value rows = code.advance(params, layer.rowsOffset);
    code.repeat(layer.rowOutputs, {{rows, layer.fanIn}, {rows, 4}, {scratch, 4}}, {},
                [&](ArrayRef<Value> at, CodeBuilder::Carried) {
                  Value sum = rowSum(layer, at[0], 4 * layer.rowOutputs, codes, code.load<I32LoadOp>(at[1], 0));
                  code.store<I32StoreOp>(at[2], layout.accumulatorsOffset + 4 * layer.blockedOutputs(), sum);
                });
  }

  /// `initial` and the sum of the products of one row of weights.
  Value rowSum(const LayerLayout &layer, Value weights, std::uint32_t offset, Value codes, Value initial) {
    return code.repeat(layer.fanIn, {{codes, 2}, {weights, 1}}, {initial},
                       [&](ArrayRef<Value> at, CodeBuilder::Carried sum) {
                         Value weight = code.load<I32Load8SOp>(at[1], offset);
                         Value product = code.emit<I32MulOp>(weight, code.load<I32Load16SOp>(at[0], 0, 1));
                         sum[0] = code.emit<I32AddOp>(sum[0], product);
                       })[0];
  }

  /// As SimdWriter::accumulateBlock, lane by lane: a group of eight outputs at a time.
  void accumulateBlock(const LayerLayout &layer, std::uint32_t outputs, Value block, Value codes, Value correct,
                       Value sums, std::uint32_t sumsOffset) {
    code.repeat(outputs / quant::kGroupOutputs, {{block, 32}, {block, 16}, {sums, 32}}, {},
                [&](ArrayRef<Value> group, CodeBuilder::Carried) {
                  SmallVector<Value, 8> initial;
                  for (std::uint32_t lane = 0; lane < 4; ++lane) {
                    initial.push_back(code.emit<I32AddOp>(correct, code.load<I32LoadOp>(group[0], 4 * lane)));
                    initial.push_back(code.load<I32LoadOp>(group[0], 4 * lane + 16));
                  }
                  auto end = code.repeat(layer.kPairs, {{group[1], 2 * outputs}, {codes, 4}}, initial,
                                         [&](ArrayRef<Value> at, CodeBuilder::Carried acc) {
                                           if (isSparse(layer))
                                             skipInactive(at[1], at[0], 4 * outputs, acc);
                                           else
                                             accumulatePair(at[1], at[0], 4 * outputs, acc);
                                         });
                  for (std::uint32_t lane = 0; lane < 4; ++lane) {
                    Value a = end[2 * lane], b = end[2 * lane + 1];
                    code.store<I32StoreOp>(group[2], sumsOffset + 4 * lane, lowOf(a, b));
                    code.store<I32StoreOp>(group[2], sumsOffset + 4 * lane + 16, b);
                  }
                });
  }

  Value lowOf(Value a, Value b) { return code.emit<I32SubOp>(a, code.emit<I32ShlOp>(b, code.i32(8))); }

  void writeResiduals(const LayerLayout &layer, Value codes) {
    Value zero = code.emit<F32ConstOp>(llvm::APFloat(0.0f));
    code.repeat(layer.outputs, {{scratch, 4}}, {}, [&](ArrayRef<Value> at, CodeBuilder::Carried) {
      code.store<F32StoreOp>(at[0], layout.residualsOffset, zero);
    });
    forResidualRows(layer, 1, residualRows, [&](Value row) {
      Value sum = rowSum(layer, row, quant::kResidualWeightsOffset, codes, code.i32(0));
      Value multiplier = code.load<F32LoadOp>(row, quant::kResidualMultiplierOffset);
      Value residual = code.emit<F32MulOp>(code.emit<F32ConvertI32SOp>(sum), multiplier);
      code.store<F32StoreOp>(residualTarget(row), layout.residualsOffset, residual);
    });
  }

  void accumulateFloats(const LayerLayout &layer, Value values) {
    Value block = code.advance(params, layer.blocksOffset);
    if (layer.fullBlocks) {
      std::uint32_t outputs = quant::kFloatBlockOutputs, bytes = quant::floatBlockBytes(outputs, layer.fanIn);
      auto end =
          code.repeat(layer.fullBlocks, {{block, bytes}, {scratch, 4 * outputs}}, {},
                      [&](ArrayRef<Value> at, CodeBuilder::Carried) {
                        accumulateFloatBlock(outputs, layer.fanIn, at[0], values, at[1], layout.accumulatorsOffset);
                      });
      block = end[0];
    }
    if (layer.tailOutputs)
      accumulateFloatBlock(layer.tailOutputs, layer.fanIn, block, values, scratch,
                           layout.accumulatorsOffset + 4 * quant::kFloatBlockOutputs * layer.fullBlocks);
    if (layer.rowOutputs)
      accumulateFloatRows(layer, values);
  }

  /// Four interleaved sums of each row.
  void accumulateFloatRows(const LayerLayout &layer, Value values) {
    Value rows = code.advance(params, layer.rowsOffset);
    std::uint32_t full = layer.fanIn / 4, rest = layer.fanIn % 4, weightsOffset = 4 * layer.rowOutputs;
    code.repeat(layer.rowOutputs, {{rows, 4 * layer.fanIn}, {rows, 4}, {scratch, 4}}, {},
                [&](ArrayRef<Value> row, CodeBuilder::Carried) {
                  auto accumulate = [&](Value weights, Value value, std::uint32_t k, Value &sum) {
                    Value weight = code.load<F32LoadOp>(weights, weightsOffset + 4 * k);
                    Value product = code.emit<F32MulOp>(weight, code.load<F32LoadOp>(value, 4 * k));
                    sum = code.emit<F32AddOp>(sum, product);
                  };
                  Value zero = code.emit<F32ConstOp>(llvm::APFloat(0.0f));
                  SmallVector<Value> sums(4, zero);
                  if (full)
                    sums = code.repeat(full, {{row[0], 16}, {values, 16}}, sums,
                                       [&](ArrayRef<Value> at, CodeBuilder::Carried acc) {
                                         for (std::uint32_t k = 0; k < 4; ++k)
                                           accumulate(at[0], at[1], k, acc[k]);
                                       });
                  for (std::uint32_t k = 0; k < rest; ++k)
                    accumulate(row[0], values, 4 * full + k, sums[k]);
                  Value even = code.emit<F32AddOp>(sums[0], sums[2]), odd = code.emit<F32AddOp>(sums[1], sums[3]);
                  Value sum = code.emit<F32AddOp>(code.load<F32LoadOp>(row[1], 0), code.emit<F32AddOp>(even, odd));
                  code.store<F32StoreOp>(row[2], layout.accumulatorsOffset + 4 * layer.blockedOutputs(), sum);
                });
  }

  /// Four outputs at a time.
  void accumulateFloatBlock(std::uint32_t outputs, std::uint32_t fanIn, Value block, Value values, Value sums,
                            std::uint32_t sumsOffset) {
    code.repeat(outputs / 4, {{block, 16}, {sums, 16}}, {}, [&](ArrayRef<Value> four, CodeBuilder::Carried) {
      SmallVector<Value, 4> initial;
      for (std::uint32_t lane = 0; lane < 4; ++lane)
        initial.push_back(code.load<F32LoadOp>(four[0], 4 * lane));
      auto end = code.repeat(fanIn, {{four[0], 4 * outputs}, {values, 4}}, initial,
                             [&](ArrayRef<Value> at, CodeBuilder::Carried acc) {
                               Value value = code.load<F32LoadOp>(at[1], 0);
                               for (std::uint32_t lane = 0; lane < 4; ++lane) {
                                 Value weight = code.load<F32LoadOp>(at[0], 4 * outputs + 4 * lane);
                                 acc[lane] = code.emit<F32AddOp>(acc[lane], code.emit<F32MulOp>(weight, value));
                               }
                             });
      for (std::uint32_t lane = 0; lane < 4; ++lane)
        code.store<F32StoreOp>(four[1], sumsOffset + 4 * lane, end[lane]);
    });
  }

  /// As accumulatePair, which it runs unless both codes are 0.
  void skipInactive(Value codes, Value weights, std::uint32_t offset, CodeBuilder::Carried acc) {
    auto addPair = [&](CodeBuilder::Carried sums) -> Value {
      accumulatePair(codes, weights, offset, sums);
      return code.i32(0);
    };
    llvm::copy(code.loop(acc, addPair, code.load<I32LoadOp>(codes, 0, 1)), acc.begin());
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
    Target target = targetOf(run);
    code.repeat(run.group.count, {{params, 4}, {target.isExact ? y : scratch, target.stride}, {scratch, 4}}, {},
                [&](ArrayRef<Value> at, CodeBuilder::Carried) {
                  auto array = [&](std::uint32_t offset) {
                    return code.load<F32LoadOp>(at[0], offset + 4 * run.first);
                  };
                  auto residual = [&] { return code.load<F32LoadOp>(at[2], layout.residualsOffset + 4 * run.first); };
                  std::uint32_t offset = layout.accumulatorsOffset + 4 * run.first;
                  Value acc = isFloat() ? code.load<F32LoadOp>(at[2], offset)
                                        : code.emit<F32ConvertI32SOp>(code.load<I32LoadOp>(at[2], offset));
                  Value t = preActivation(ops, run, acc, array, residual);
                  if (run.isLast || isFloat()) {
                    code.store<F32StoreOp>(at[1], target.offset, evaluate(ops, run, t, array));
                    return;
                  }
                  Value v = quant::evaluateCode(ops, run.group.function, t);
                  if (hasBounds(run))
                    v = quant::clamp(ops, code.load<F32LoadOp>(params, layer.boundsOffset),
                                     code.load<F32LoadOp>(params, layer.boundsOffset + 4), v);
                  storeCode(quant::roundToCode(ops, v), at[1], target.offset);
                });
  }

  void writeSoftmax(Value y) override {
    ScalarOps ops(code, params, layout);
    std::uint32_t count = signature.logits();
    auto load = [&](Value pointer) { return code.load<F32LoadOp>(pointer, layout.logitsOffset); };
    // Replaces all logits by `map` of them and folds the results by `next`: every fourth, then the four, then the rest.
    std::uint32_t full = count / 4, rest = count % 4;
    auto pass = [&](Value initial, function_ref<Value(Value)> map, function_ref<Value(Value, Value)> next) {
      Value result, end = scratch;
      auto one = [&](Value pointer, std::uint32_t offset) {
        Value v = map(code.load<F32LoadOp>(pointer, layout.logitsOffset + offset));
        code.store<F32StoreOp>(pointer, layout.logitsOffset + offset, v);
        return v;
      };
      if (full) {
        auto lanes = code.repeat(full, {{scratch, 16}}, {initial, initial, initial, initial},
                                 [&](ArrayRef<Value> at, CodeBuilder::Carried known) {
                                   for (unsigned i = 0; i < 4; ++i)
                                     known[i] = next(known[i], one(at[0], 4 * i));
                                 });
        result = next(next(lanes[0], lanes[1]), next(lanes[2], lanes[3]));
        end = lanes[4];
      }
      for (unsigned i = 0; i < rest; ++i) {
        Value v = one(end, 4 * i);
        result = result ? next(result, v) : v;
      }
      return result;
    };
    Value scale = code.load<F32LoadOp>(params, layout.headScaleOffset);
    auto scaled = [&](Value v) { return ops.mul(v, scale); };
    Value largest = pass(scaled(load(scratch)), scaled, [&](Value a, Value b) { return ops.pmax(a, b); });
    Value sum = pass(
        ops.literal(0.0f), [&](Value v) { return quant::evaluateExp(ops, ops.sub(v, largest)); },
        [&](Value a, Value b) { return ops.add(a, b); });
    code.repeat(count, {{scratch, 4}, {y, 4}}, {}, [&](ArrayRef<Value> at, CodeBuilder::Carried) {
      code.store<F32StoreOp>(at[1], 0, ops.div(load(at[0]), sum));
    });
  }
};

} // namespace

std::unique_ptr<KernelWriter> makeScalarWriter(CodeBuilder &code, const quant::Signature &signature,
                                               const quant::Layout &layout) {
  return std::make_unique<ScalarWriter>(code, signature, layout);
}

} // namespace kimic
