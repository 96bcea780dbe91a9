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
  bool hasTiles() const override { return true; }

  void readInputs(Value x) override {
    VectorOps ops(code, params, layout);
    if (isFloat())
      return readFloats(ops, x);
    const LayerLayout &reader = layout.layers[0];
    bool isSummed = reader.blockedOutputs() && reader.fanIn == signature.inputs;
    SmallVector<Value> sum;
    Value factor;
    if (isSummed) {
      sum.push_back(code.emit<I32x4SplatOp>(code.i32(0)));
      factor = correctionFactor();
    }
    // Eight inputs to eight codes; `offset` counts inputs from where the pointers are. The codes from the `first` one
    // on, `count` of them, are new.
    auto write = [&](ArrayRef<VectorOps::V> values, Value scales, Value codes, std::uint32_t offset,
                     CodeBuilder::Carried sum, std::uint32_t first = 0, std::uint32_t count = 8) {
      SmallVector<VectorOps::I, 4> rounded;
      for (auto [i, value] : llvm::enumerate(values)) {
        auto scale = ops.load<VectorOps::V>(scales, layout.inputScaleOffset + 4 * offset + 16 * i);
        VectorOps::V lo = ops.splatOf(layout.inputBoundsOffset), hi = ops.splatOf(layout.inputBoundsOffset + 4);
        rounded.push_back(quant::roundToCode(ops, quant::clamp(ops, lo, hi, ops.mul(value, scale))));
      }
      Value stored = storeCodes(rounded, codes, layout.codesOffset + 2 * offset);
      if (!isSummed)
        return;
      stored = someBytes(stored, 2 * first, 2 * (first + count));
      sum[0] = code.emit<I32x4AddOp>(sum[0], code.emit<I32x4DotI16x8SOp>(stored, factor));
    };
    auto load = [&](Value pointer, std::uint32_t offset) { return ops.load<VectorOps::V>(pointer, offset); };

    std::uint32_t full = signature.inputs / 8, rest = signature.inputs % 8;
    if (full)
      sum = code.repeat(full, {{params, 32}, {scratch, 16}, {x, 32}}, sum,
                        [&](ArrayRef<Value> at, CodeBuilder::Carried carried) {
                          write({load(at[2], 0), load(at[2], 16)}, at[0], at[1], 0, carried);
                        });
    sum.truncate(isSummed);
    if (rest && full) {
      // The last eight once more: reading x further on could leave it.
      std::uint32_t first = signature.inputs - 8;
      write({load(x, 4 * first), load(x, 4 * first + 16)}, params, scratch, first, sum, 8 - rest, rest);
    } else if (rest) {
      SmallVector<VectorOps::V, 2> values = {{loadPartial(x, 0, std::min(rest, 4u))}};
      if (rest > 4)
        values.push_back({loadPartial(x, 16, rest - 4)});
      write(values, params, scratch, 0, sum, 0, rest);
    }
    inputSum = isSummed ? sum[0] : Value();
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

  /// Vectors in pairs to eight codes each; an odd last vector fills both halves. Returns the last eight.
  Value storeCodes(ArrayRef<VectorOps::I> codes, Value pointer, std::uint32_t offset) {
    Value narrow;
    for (std::size_t i = 0; i < codes.size(); i += 2) {
      Value second = codes[std::min(i + 1, codes.size() - 1)].vector;
      narrow = code.emit<I16x8NarrowI32x4SOp>(codes[i].vector, second);
      code.store<V128StoreOp>(pointer, offset + 8 * i, narrow, 1);
    }
    return narrow;
  }

  Value correctionFactor() { return code.emit<I16x8SplatOp>(code.i32(-128)); }

  /// -128 * the sum of `count` codes, as four sums that have to be added up.
  Value correction(Value codes, std::uint32_t count) {
    Value factor = correctionFactor();
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
    if (rest)
      add(code.emit<I32x4DotI16x8SOp>(loadFirst(codes, 64 * full + 16 * vectors, 2 * rest), factor));
    return sum;
  }

  /// The vector at `pointer + offset` with zeros from the `bytes`-th byte on: behind the last code may stand anything.
  Value loadFirst(Value pointer, std::uint32_t offset, std::uint32_t bytes) {
    return someBytes(code.load<V128LoadOp>(pointer, offset, 1), 0, bytes);
  }

  /// The vector with zeros outside of its bytes begin .. end-1.
  Value someBytes(Value vector, std::uint32_t begin, std::uint32_t end) {
    if (end - begin == 16)
      return vector;
    std::array<std::int8_t, 16> lanes;
    for (std::uint32_t i = 0; i < 16; ++i)
      lanes[i] = static_cast<std::int8_t>(i >= begin && i < end ? i : 16);
    return code.emit<I8x16ShuffleOp>(vector, code.emit<I32x4SplatOp>(code.i32(0)), ArrayRef<std::int8_t>(lanes));
  }

  /// Two 32-bit lanes of `a` and two of `b`, which are lanes 4 to 7.
  Value shuffleWords(Value a, Value b, std::array<std::int8_t, 4> words) {
    std::array<std::int8_t, 16> lanes;
    for (std::int8_t i = 0; i < 16; ++i)
      lanes[i] = static_cast<std::int8_t>(4 * words[i / 4] + i % 4);
    return code.emit<I8x16ShuffleOp>(a, b, ArrayRef<std::int8_t>(lanes));
  }

  /// Lane i becomes the sum of the lanes of sums[i], (0 + 2) + (1 + 3), for 1 to 4 of them; what the other lanes become
  /// does not matter, but a single sum goes to all.
  template <class AddOp> Value horizontalSums(ArrayRef<Value> sums) {
    auto halves = [&](Value a, Value b) {
      return code.emit<AddOp>(shuffleWords(a, b, {0, 4, 1, 5}), shuffleWords(a, b, {2, 6, 3, 7}));
    };
    if (sums.size() == 1) {
      Value half = code.emit<AddOp>(sums[0], shuffleWords(sums[0], sums[0], {2, 3, 0, 1}));
      return code.emit<AddOp>(half, shuffleWords(half, half, {1, 0, 3, 2}));
    }
    Value first = halves(sums[0], sums[1]);
    Value second = sums.size() == 2 ? first : halves(sums[2], sums.back());
    return code.emit<AddOp>(shuffleWords(first, second, {0, 1, 4, 5}), shuffleWords(first, second, {2, 3, 6, 7}));
  }

  /// Sums of `count` rows of int8 weights, one every `stride` bytes from `weights + offset` on: vectors that have to be
  /// added up. Sums that do not end with a full vector of codes leave out what lies behind the last one.
  SmallVector<Value> rowSums(std::uint32_t count, Value weights, std::uint32_t offset, std::uint32_t stride,
                             Value codes, std::uint32_t fullVectors, std::uint32_t rest) {
    auto product = [&](Value eight, Value at, std::uint32_t row, std::uint32_t begin) -> Value {
      Value widened = code.load<V128Load8x8SOp>(at, offset + row * stride + begin, 0);
      return code.emit<I32x4DotI16x8SOp>(widened, eight);
    };
    SmallVector<Value> sums;
    Value eight = rest ? loadFirst(codes, 16 * fullVectors, 2 * rest) : code.emit<I32x4SplatOp>(code.i32(0));
    for (std::uint32_t row = 0; row < count; ++row)
      sums.push_back(rest ? product(eight, weights, row, 8 * fullVectors) : eight);
    if (fullVectors)
      sums = code.repeat(
          fullVectors, {{weights, 8}, {codes, 16}}, sums, [&](ArrayRef<Value> at, CodeBuilder::Carried acc) {
            Value eight = code.load<V128LoadOp>(at[1], 0, 1);
            for (auto [row, sum] : llvm::enumerate(acc))
              sum = code.emit<I32x4AddOp>(sum, product(eight, at[0], static_cast<std::uint32_t>(row), 0));
          });
    sums.truncate(count);
    return sums;
  }

  void accumulateRows(const LayerLayout &layer, Value codes) {
    std::uint32_t count = layer.rowOutputs;
    auto sums =
        rowSums(count, params, layer.rowsOffset + 4 * count, layer.fanIn, codes, layer.fanIn / 8, layer.fanIn % 8);
    storeRowSums<I32x4AddOp>(layer, sums);
  }

  /// Adds up sums[i], adds the biases, and stores the sums of the row outputs.
  template <class AddOp> void storeRowSums(const LayerLayout &layer, ArrayRef<Value> sums) {
    for (std::uint32_t first = 0; first < sums.size(); first += 4) {
      Value four = horizontalSums<AddOp>(sums.slice(first, std::min<std::size_t>(4, sums.size() - first)));
      Value bias = code.load<V128LoadOp>(params, layer.rowsOffset + 4 * first, 2);
      code.store<V128StoreOp>(scratch, layout.accumulatorsOffset + 4 * (layer.blockedOutputs() + first),
                              code.emit<AddOp>(bias, four));
    }
  }

  void accumulate(const LayerLayout &layer, Value codes) override {
    if (layer.blockedOutputs())
      forBlocks(layer, [&](std::uint32_t outputs, Value block, Value sums, std::uint32_t sumsOffset) {
        if (isFloat())
          accumulateFloatBlock(outputs, layer.fanIn, block, codes, sums, sumsOffset);
        else
          accumulateBlock(layer, outputs, block, codes, sums, sumsOffset);
      });
    if (layer.rowOutputs && isFloat())
      accumulateFloatRows(layer, codes);
    else if (layer.rowOutputs)
      accumulateRows(layer, codes);
    if (!hasResiduals())
      return;
    Value row = residualRows;
    if (layer.outputs >= 4)
      row = forResidualRows(layer, 4, row, [&](Value four) { writeResidualRows(layer, 4, four, codes); });
    forResidualRows(layer, 1, row, [&](Value one) { writeResidualRows(layer, 1, one, codes); });
  }

  /// The correction, and residuals of zero.
  void prepare(const LayerLayout &layer, Value codes) override {
    if (isFloat())
      return;
    if (layer.blockedOutputs()) {
      Value sum = inputSum ? inputSum : correction(codes, layer.fanIn);
      code.store<V128StoreOp>(scratch, layout.correctionOffset, horizontalSums<I32x4AddOp>({sum}));
    }
    inputSum = {};
    if (isSparse(layer))
      listActivePairs(layer, codes);
    if (!hasResiduals())
      return;
    Value zero = code.emit<I32x4SplatOp>(code.i32(0));
    code.repeat(layer.vectorLength / 4, {{scratch, 16}}, {}, [&](ArrayRef<Value> at, CodeBuilder::Carried) {
      code.store<V128StoreOp>(at[0], layout.residualsOffset, zero);
    });
  }

  /// Runs `accumulate` for the full blocks of weights, in a loop, then for the tail. It gets the number of outputs and
  /// the addresses of a block and of its sums less `sumsOffset`.
  void
  forBlocks(const LayerLayout &layer,
            function_ref<void(std::uint32_t outputs, Value block, Value sums, std::uint32_t sumsOffset)> accumulate) {
    std::uint32_t outputs = isFloat() ? quant::kFloatBlockOutputs : quant::kBlockOutputs;
    std::uint32_t bytes =
        isFloat() ? quant::floatBlockBytes(outputs, layer.fanIn) : quant::blockBytes(outputs, layer.kPairs);
    Value block = code.advance(params, layer.blocksOffset);
    if (layer.fullBlocks)
      block = code.repeat(layer.fullBlocks, {{block, bytes}, {scratch, 4 * outputs}}, {},
                          [&](ArrayRef<Value> at, CodeBuilder::Carried) {
                            accumulate(outputs, at[0], at[1], layout.accumulatorsOffset);
                          })[0];
    if (layer.tailOutputs)
      accumulate(layer.tailOutputs, block, scratch, layout.accumulatorsOffset + 4 * outputs * layer.fullBlocks);
  }

  std::uint32_t ofRow(std::uint32_t row) const { return row * layout.scratchRowBytes; }

  void accumulateTile(const LayerLayout &layer, Value codes) override {
    if (layer.blockedOutputs())
      forBlocks(layer, [&](std::uint32_t outputs, Value block, Value sums, std::uint32_t sumsOffset) {
        if (isFloat())
          accumulateFloatBlockTile(outputs, layer.fanIn, block, codes, sums, sumsOffset);
        else
          accumulateBlockTile(outputs, layer.kPairs, block, codes, sums, sumsOffset);
      });
    if (layer.rowOutputs)
      accumulateRowTile(layer, codes);
    if (hasResiduals())
      forResidualRows(layer, 1, residualRows, [&](Value row) { writeResidualTile(layer, row, codes); });
  }

  /// Sums of four rows and one group of eight outputs at a time: each vector of weights is loaded and shifted once.
  void accumulateBlockTile(std::uint32_t outputs, std::uint32_t kPairs, Value block, Value codes, Value sums,
                           std::uint32_t sumsOffset) {
    code.repeat(outputs / quant::kGroupOutputs, {{block, 32}, {block, 16}, {sums, 32}}, {},
                [&](ArrayRef<Value> group, CodeBuilder::Carried) {
                  SmallVector<Value, 8> initial;
                  Value low = code.load<V128LoadOp>(group[0], 0), high = code.load<V128LoadOp>(group[0], 16);
                  for (std::uint32_t row = 0; row < quant::kTileRows; ++row)
                    initial.append({low, high});
                  auto end = code.repeat(kPairs, {{group[1], 2 * outputs}, {codes, 4}}, initial,
                                         [&](ArrayRef<Value> at, CodeBuilder::Carried acc) {
                                           Value words = code.load<V128LoadOp>(at[0], 4 * outputs);
                                           Value high = code.emit<I16x8ShrSOp>(words, code.i32(8));
                                           for (std::uint32_t row = 0; row < quant::kTileRows; ++row) {
                                             Value pair = code.load<V128Load32SplatOp>(at[1], ofRow(row), 1);
                                             Value &a = acc[2 * row], &b = acc[2 * row + 1];
                                             a = code.emit<I32x4AddOp>(a, code.emit<I32x4DotI16x8SOp>(words, pair));
                                             b = code.emit<I32x4AddOp>(b, code.emit<I32x4DotI16x8SOp>(high, pair));
                                           }
                                         });
                  for (std::uint32_t row = 0; row < quant::kTileRows; ++row)
                    storeGroup(end[2 * row], end[2 * row + 1], loadCorrection(row), group[2], sumsOffset + ofRow(row));
                });
  }

  Value loadCorrection(std::uint32_t row) {
    return code.load<V128LoadOp>(scratch, layout.correctionOffset + ofRow(row));
  }

  /// Eight sums from A, B and the correction, which comes last because it is ready last.
  void storeGroup(Value a, Value b, Value correct, Value sums, std::uint32_t offset) {
    Value low = code.emit<I32x4SubOp>(a, code.emit<I32x4ShlOp>(b, code.i32(8)));
    low = code.emit<I32x4AddOp>(low, correct);
    code.store<V128StoreOp>(sums, offset, low);
    code.store<V128StoreOp>(sums, offset + 16, b);
  }

  /// The sums of the products of a row of int8 weights and the codes of four rows, in lane i that of row i. Codes
  /// behind the last one count nothing if zeros follow the weights or if `rest` weights are in the last vector.
  Value tileSums(Value weights, std::uint32_t offset, Value codes, std::uint32_t fullVectors, std::uint32_t rest) {
    auto product = [&](Value eight, Value at, std::uint32_t row, std::uint32_t begin) -> Value {
      return code.emit<I32x4DotI16x8SOp>(eight, code.load<V128LoadOp>(at, ofRow(row) + begin, 1));
    };
    Value zero = code.emit<I32x4SplatOp>(code.i32(0));
    SmallVector<Value> sums(quant::kTileRows, zero);
    if (rest) {
      Value last = code.load<V128Load8x8SOp>(weights, offset + 8 * fullVectors, 0);
      last = someBytes(last, 0, 2 * rest);
      for (auto [row, sum] : llvm::enumerate(sums))
        sum = product(last, codes, static_cast<std::uint32_t>(row), 16 * fullVectors);
    }
    if (fullVectors)
      sums = code.repeat(
          fullVectors, {{weights, 8}, {codes, 16}}, sums, [&](ArrayRef<Value> at, CodeBuilder::Carried acc) {
            Value eight = code.load<V128Load8x8SOp>(at[0], offset, 0);
            for (auto [row, sum] : llvm::enumerate(acc))
              sum = code.emit<I32x4AddOp>(sum, product(eight, at[1], static_cast<std::uint32_t>(row), 0));
          });
    sums.truncate(quant::kTileRows);
    return horizontalSums<I32x4AddOp>(sums);
  }

  /// Lane i to the i-th row.
  void storeTileLanes(Value pointer, std::uint32_t offset, Value vector) {
    for (std::uint32_t row = 0; row < quant::kTileRows; ++row)
      code.storeLane<V128Store32LaneOp>(pointer, offset + ofRow(row), vector, row, 2);
  }

  void accumulateRowTile(const LayerLayout &layer, Value codes) {
    std::uint32_t count = layer.rowOutputs, weightBytes = isFloat() ? 4 : 1;
    std::uint32_t sumsOffset = layout.accumulatorsOffset + 4 * layer.blockedOutputs();
    Value rows = code.advance(params, layer.rowsOffset);
    code.repeat(count, {{rows, weightBytes * layer.fanIn}, {rows, 4}, {scratch, 4}}, {},
                [&](ArrayRef<Value> at, CodeBuilder::Carried) {
                  Value bias = code.load<V128Load32SplatOp>(at[1], 0);
                  Value sums = isFloat()
                                   ? code.emit<F32x4AddOp>(bias, floatTileSums(at[0], 4 * count, codes, layer.fanIn))
                                   : code.emit<I32x4AddOp>(
                                         bias, tileSums(at[0], 4 * count, codes, layer.fanIn / 8, layer.fanIn % 8));
                  storeTileLanes(at[2], sumsOffset, sums);
                });
  }

  void writeResidualTile(const LayerLayout &layer, Value row, Value codes) {
    Value sums = tileSums(row, quant::kResidualWeightsOffset, codes, (layer.fanIn + 7) / 8, 0);
    Value multiplier = code.load<V128Load32SplatOp>(row, quant::kResidualMultiplierOffset);
    Value residuals = code.emit<F32x4MulOp>(code.emit<F32x4ConvertI32x4SOp>(sums), multiplier);
    storeTileLanes(residualTarget(row), layout.residualsOffset, residuals);
  }

  /// Four rows and, where blocks have so many, eight outputs at a time.
  void accumulateFloatBlockTile(std::uint32_t outputs, std::uint32_t fanIn, Value block, Value values, Value sums,
                                std::uint32_t sumsOffset) {
    std::uint32_t vectors = outputs % 8 ? 1 : 2;
    code.repeat(outputs / (4 * vectors), {{block, 16 * vectors}, {sums, 16 * vectors}}, {},
                [&](ArrayRef<Value> group, CodeBuilder::Carried) {
                  SmallVector<Value, 8> initial;
                  for (std::uint32_t i = 0; i < vectors; ++i)
                    initial.push_back(code.load<V128LoadOp>(group[0], 16 * i));
                  for (std::uint32_t i = vectors; i < vectors * quant::kTileRows; ++i)
                    initial.push_back(initial[i - vectors]);
                  auto end = code.repeat(fanIn, {{group[0], 4 * outputs}, {values, 4}}, initial,
                                         [&](ArrayRef<Value> at, CodeBuilder::Carried acc) {
                                           SmallVector<Value, 2> weights;
                                           for (std::uint32_t i = 0; i < vectors; ++i)
                                             weights.push_back(code.load<V128LoadOp>(at[0], 4 * outputs + 16 * i));
                                           for (std::uint32_t row = 0; row < quant::kTileRows; ++row) {
                                             Value value = code.load<V128Load32SplatOp>(at[1], ofRow(row));
                                             for (std::uint32_t i = 0; i < vectors; ++i) {
                                               Value &sum = acc[row * vectors + i];
                                               Value product = code.emit<F32x4MulOp>(weights[i], value);
                                               sum = code.emit<F32x4AddOp>(sum, product);
                                             }
                                           }
                                         });
                  for (std::uint32_t row = 0; row < quant::kTileRows; ++row)
                    for (std::uint32_t i = 0; i < vectors; ++i)
                      code.store<V128StoreOp>(group[1], sumsOffset + ofRow(row) + 16 * i, end[row * vectors + i]);
                });
  }

  /// As tileSums, of f32 weights and values.
  Value floatTileSums(Value weights, std::uint32_t offset, Value values, std::uint32_t fanIn) {
    std::uint32_t full = fanIn / 4, rest = fanIn % 4;
    SmallVector<Value> sums(quant::kTileRows, code.emit<I32x4SplatOp>(code.i32(0)));
    auto accumulate = [&](Value weights, CodeBuilder::Carried acc, function_ref<Value(std::uint32_t row)> load) {
      for (std::uint32_t row = 0; row < quant::kTileRows; ++row)
        acc[row] = code.emit<F32x4AddOp>(acc[row], code.emit<F32x4MulOp>(weights, load(row)));
    };
    if (full)
      sums = code.repeat(full, {{weights, 16}, {values, 16}}, sums, [&](ArrayRef<Value> at, CodeBuilder::Carried acc) {
        accumulate(code.load<V128LoadOp>(at[0], offset, 2), acc,
                   [&](std::uint32_t row) { return code.load<V128LoadOp>(at[1], ofRow(row), 2); });
      });
    sums.truncate(quant::kTileRows);
    if (rest)
      accumulate(code.load<V128LoadOp>(weights, offset + 16 * full, 2), sums,
                 [&](std::uint32_t row) { return loadFirst(values, ofRow(row) + 16 * full, 4 * rest); });
    return horizontalSums<F32x4AddOp>(sums);
  }

  /// Sums of one block of `outputs` outputs.
  ///
  /// A 16-bit word X of weights is 256 h + l + 128. With A = sum X c and B = sum (X >> 8) c = sum h c, the sum of l c
  /// is A - 256 B - 128 sum c, mod 2^32 (quantization-v1, "Two outputs per word").
  void accumulateBlock(const LayerLayout &layer, std::uint32_t outputs, Value block, Value codes, Value sums,
                       std::uint32_t sumsOffset) {
    std::uint32_t groups = outputs / quant::kGroupOutputs;
    SmallVector<Value, 8> initial;
    for (std::uint32_t i = 0; i < 2 * groups; ++i)
      initial.push_back(code.load<V128LoadOp>(block, 16 * i));
    auto addPair = [&](Value weights, Value pair, CodeBuilder::Carried acc) {
      Value both = code.load<V128Load32SplatOp>(pair, 0, 1);
      for (std::uint32_t g = 0; g < groups; ++g) {
        Value words = code.load<V128LoadOp>(weights, 4 * outputs + 16 * g);
        addProducts(words, both, acc.slice(2 * g, 2));
      }
    };
    auto end = isSparse(layer)
                   ? forActivePairs(initial,
                                    [&](Value number, CodeBuilder::Carried acc) {
                                      Value words = code.emit<I32MulOp>(number, code.i32(2 * outputs));
                                      Value pair = code.emit<I32ShlOp>(number, code.i32(2));
                                      addPair(code.emit<I32AddOp>(block, words), code.emit<I32AddOp>(codes, pair), acc);
                                    })
                   : code.repeat(layer.kPairs, {{block, 2 * outputs}, {codes, 4}}, initial,
                                 [&](ArrayRef<Value> at, CodeBuilder::Carried acc) { addPair(at[0], at[1], acc); });
    Value correct = loadCorrection(0);
    for (std::uint32_t g = 0; g < groups; ++g)
      storeGroup(end[2 * g], end[2 * g + 1], correct, sums, sumsOffset + 32 * g);
  }

  /// Lists the pairs of codes that are not both 0 in scratch: the address of the list's end, then their numbers.
  void listActivePairs(const LayerLayout &layer, Value codes) {
    constexpr std::uint32_t kMaskPairs = 32, kBytes = 4 * kMaskPairs;
    Value zero = code.emit<I32x4SplatOp>(code.i32(0));
    // Bit i is set if pair i of those at the pointer is active.
    auto maskOf = [&](Value pointer, std::uint32_t offset, std::uint32_t pairs) {
      auto four = [&](std::uint32_t first) -> Value {
        if (first >= pairs)
          return zero;
        return code.emit<I32x4NeOp>(code.load<V128LoadOp>(pointer, offset + 4 * first, 1), zero);
      };
      auto eight = [&](std::uint32_t first) { return code.emit<I16x8NarrowI32x4SOp>(four(first), four(first + 4)); };
      auto sixteen = [&](std::uint32_t first) {
        return code.emit<I8x16BitmaskOp>(code.emit<I8x16NarrowI16x8SOp>(eight(first), eight(first + 8)));
      };
      Value mask = sixteen(0);
      if (pairs > 16)
        mask = code.emit<I32OrOp>(mask, code.emit<I32ShlOp>(sixteen(16), code.i32(16)));
      // Behind the last code may stand anything.
      return pairs % 4 ? code.emit<I32AndOp>(mask, code.i32((1 << pairs) - 1)) : mask;
    };
    auto append = [&](Value mask, Value first, Value end) {
      auto appendOne = [&](CodeBuilder::Carried left) -> Value {
        code.store<I32Store16Op>(left[1], 0, code.emit<I32AddOp>(first, code.emit<I32CtzOp>(left[0])));
        left[0] = code.emit<I32AndOp>(left[0], code.emit<I32SubOp>(left[0], code.i32(1)));
        left[1] = code.advance(left[1], 2);
        return left[0];
      };
      return code.loop({mask, end}, appendOne, mask)[1];
    };
    std::uint32_t full = layer.kPairs / kMaskPairs, rest = layer.kPairs % kMaskPairs;
    Value end = code.advance(scratch, layout.activeOffset + 4);
    if (full)
      end =
          code.repeat(full, {{codes, kBytes}}, {end, code.i32(0)}, [&](ArrayRef<Value> at, CodeBuilder::Carried list) {
            list[0] = append(maskOf(at[0], 0, kMaskPairs), list[1], list[0]);
            list[1] = code.advance(list[1], kMaskPairs);
          })[0];
    if (rest)
      end = append(maskOf(codes, full * kBytes, rest), code.i32(static_cast<std::int32_t>(full * kMaskPairs)), end);
    code.store<I32StoreOp>(scratch, layout.activeOffset, end);
  }

  /// Runs `body` for the numbers in the list; it replaces the carried values. Returns the last ones.
  SmallVector<Value> forActivePairs(ArrayRef<Value> initial,
                                    function_ref<void(Value number, CodeBuilder::Carried)> body) {
    Value begin = code.advance(scratch, layout.activeOffset + 4);
    Value end = code.load<I32LoadOp>(scratch, layout.activeOffset);
    SmallVector<Value> all(initial);
    all.push_back(begin);
    return code.loop(
        all,
        [&](CodeBuilder::Carried carried) -> Value {
          body(code.load<I32Load16UOp>(carried.back(), 0), carried.drop_back());
          carried.back() = code.advance(carried.back(), 2);
          return code.emit<I32NeOp>(carried.back(), end);
        },
        code.emit<I32NeOp>(begin, end));
  }

  /// Of one group and pair, to A and B.
  void addProducts(Value words, Value pair, CodeBuilder::Carried acc) {
    acc[0] = code.emit<I32x4AddOp>(acc[0], code.emit<I32x4DotI16x8SOp>(words, pair));
    Value high = code.emit<I16x8ShrSOp>(words, code.i32(8));
    acc[1] = code.emit<I32x4AddOp>(acc[1], code.emit<I32x4DotI16x8SOp>(high, pair));
  }

  /// Their weights end with zeros, so codes that are not theirs do not matter.
  void writeResidualRows(const LayerLayout &layer, std::uint32_t count, Value row, Value codes) {
    std::uint32_t stride = quant::residualRowBytes(layer.fanIn);
    auto sums = rowSums(count, row, quant::kResidualWeightsOffset, stride, codes, (layer.fanIn + 7) / 8, 0);
    Value multipliers = code.load<V128Load32SplatOp>(row, quant::kResidualMultiplierOffset);
    for (std::uint32_t i = 1; i < count; ++i)
      multipliers =
          code.loadLane<V128Load32LaneOp>(row, i * stride + quant::kResidualMultiplierOffset, multipliers, i, 2);
    Value sum = code.emit<F32x4ConvertI32x4SOp>(horizontalSums<I32x4AddOp>(sums));
    Value residuals = code.emit<F32x4MulOp>(sum, multipliers);
    for (std::uint32_t i = 0; i < count; ++i)
      code.storeLane<V128Store32LaneOp>(residualTarget(row, i * stride), layout.residualsOffset, residuals, i, 2);
  }

  /// Four interleaved sums of each row. Lanes behind the last value add zeros to theirs, which changes nothing.
  void accumulateFloatRows(const LayerLayout &layer, Value values) {
    std::uint32_t full = layer.fanIn / 4, rest = layer.fanIn % 4, count = layer.rowOutputs;
    auto accumulate = [&](Value four, Value at, std::uint32_t begin, CodeBuilder::Carried sums) {
      for (std::uint32_t row = 0; row < count; ++row) {
        Value weights = code.load<V128LoadOp>(at, layer.rowsOffset + 4 * (count + row * layer.fanIn + begin), 2);
        sums[row] = code.emit<F32x4AddOp>(sums[row], code.emit<F32x4MulOp>(weights, four));
      }
    };
    SmallVector<Value> sums(count, code.emit<I32x4SplatOp>(code.i32(0)));
    if (full)
      sums = code.repeat(full, {{params, 16}, {values, 16}}, sums, [&](ArrayRef<Value> at, CodeBuilder::Carried acc) {
        accumulate(code.load<V128LoadOp>(at[1], 0, 2), at[0], 0, acc);
      });
    sums.truncate(count);
    if (rest)
      accumulate(loadFirst(values, 16 * full, 4 * rest), params, 4 * full, sums);
    storeRowSums<F32x4AddOp>(layer, sums);
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

  Value inputSum; ///< of the inputs' codes, as correction() returns it; null if the first layer does not read them all
};

} // namespace

std::unique_ptr<KernelWriter> makeSimdWriter(CodeBuilder &code, const quant::Signature &signature,
                                             const quant::Layout &layout) {
  return std::make_unique<SimdWriter>(code, signature, layout);
}

} // namespace kimic
