#include "compiler/Native/KernelIr.h"

#include "compiler/Native/IrBuilder.h"

#include "llvm/ADT/bit.h"
#include "llvm/IR/IntrinsicsX86.h"

#include <algorithm>

namespace kimic::native {

using quant::ActivationGroup;
using quant::kGroupOutputs;
using quant::kNone;
using quant::kTileRows;
using quant::LayerLayout;
using quant::Layout;
using quant::Signature;

namespace {

/// One row, or the rows of a tile: row r has its scratch at scratch + r * scratchStride, and so on.
struct Rows {
  unsigned count;
  Value *x, *y, *scratch;
  std::uint64_t scratchStride;
};

/// A vector of weights of each pair of k (int8), or of each k (f32), and the outputs that it is for.
struct Column {
  std::uint64_t offset; ///< of the first one, from the first block
  std::uint64_t bias;   ///< offset of the biases
  std::uint64_t sums;   ///< offset of the accumulators, from those of the first block
  unsigned used;        ///< int8: groups of outputs; f32: outputs
};

/// The numbers of the pairs of codes that are not both 0.
struct ActivePairs {
  Value *list;  ///< u16 each
  Value *count; ///< i32
};

/// Accumulators of low and high outputs.
struct Sums {
  Value *a, *b;
};

class KernelIr {
public:
  KernelIr(llvm::Function &function, const Signature &signature, const Layout &layout, const Target &target)
      : code(function.getContext()), function(function), signature(signature), layout(layout), target(target) {}

  void write() {
    code.SetInsertPoint(llvm::BasicBlock::Create(code.getContext(), "entry", &function));
    params = function.getArg(0);
    Value *x = function.getArg(1), *y = function.getArg(2), *rows = function.getArg(4);
    Value *scratch = function.getArg(3);
    auto afterTiles = code.repeatWhileLeft(code.CreateLShr(rows, code.getInt32(2)), {x, y}, [&](IrBuilder::Carried at) {
      writeRows({kTileRows, at[0], at[1], scratch, layout.scratchRowBytes}, at);
    });
    code.repeatWhileLeft(code.CreateAnd(rows, code.getInt32(kTileRows - 1)), afterTiles,
                         [&](IrBuilder::Carried at) { writeRows({1, at[0], at[1], scratch, 0}, at); });
    code.CreateRetVoid();
  }

private:
  /// A run of outputs with one function.
  struct Run {
    const LayerLayout &layer;
    const ActivationGroup &group;
    std::uint32_t first; ///< output of the layer
    bool isLast;         ///< of the last layer: f32 logits
  };

  bool isFloat() const { return signature.weights() == quant::WeightFormat::Float32; }
  bool hasResiduals() const { return signature.weights() == quant::WeightFormat::Int8Residual; }
  bool hasHead() const { return signature.head != quant::Head::None; }
  bool isSparse(const LayerLayout &layer) const { return quant::isSparse(signature, layout, layer); }
  std::uint32_t codeBytes() const { return isFloat() ? 4 : 2; }
  /// f32 or i32 elements of the target's vectors.
  unsigned lanes() const { return target.vectorBytes() / 4; }

  //===--------------------------------------------------------------------===//
  // The order of things
  //===--------------------------------------------------------------------===//

  /// Writes the rows and moves x and y past them.
  void writeRows(const Rows &rows, IrBuilder::Carried at) {
    forEachRow(rows, [&](const Rows &row) { readInputs(row); });
    if (hasResiduals())
      residualRow = code.advance(params, layout.parameterBytes);
    for (std::size_t i = 0; i < layout.layers.size(); ++i) {
      const LayerLayout &layer = layout.layers[i];
      std::uint64_t codes = layout.codesOffset + std::uint64_t{codeBytes()} * signature.layers[i].readBegin;
      if (isFloat())
        accumulateFloats(rows, layer, codes);
      else
        accumulate(rows, layer, codes);
      forEachRow(rows, [&](const Rows &row) {
        std::uint32_t first = 0;
        for (const ActivationGroup &group : signature.layers[i].groups) {
          activate(row, {layer, group, first, i + 1 == layout.layers.size()});
          first += group.count;
        }
      });
    }
    if (hasHead())
      forEachRow(rows, [&](const Rows &row) {
        if (signature.head == quant::Head::Softmax)
          softmax(row);
        else
          argmax(row);
      });
    at[0] = code.advance(rows.x, std::uint64_t{rows.count} * signature.inputs * 4);
    at[1] = code.advance(rows.y, std::uint64_t{rows.count} * signature.outputs() * 4);
  }

  void forEachRow(const Rows &rows, llvm::function_ref<void(const Rows &)> body) {
    if (rows.count == 1)
      return body(rows);
    code.repeat(rows.count,
                {{rows.x, std::uint64_t{signature.inputs} * 4},
                 {rows.y, std::uint64_t{signature.outputs()} * 4},
                 {rows.scratch, rows.scratchStride}},
                {}, [&](ArrayRef<Value *> at, IrBuilder::Carried) { body({1, at[0], at[1], at[2], 0}); });
  }

  /// Covers `count` elements: a loop over vectors of `wide` of them, then vectors of 8 and of 4, of which the last one
  /// may be used in part. `body` gets lanes, the elements used, the first element, and the walks' pointers less what
  /// the loop has added up to it.
  using Part = llvm::function_ref<void(Operations &ops, unsigned lanes, unsigned used, std::uint64_t first,
                                       ArrayRef<Value *> at)>;
  void inVectors(std::uint64_t count, ArrayRef<IrBuilder::Walk> elements, Part body) {
    unsigned wide = std::max(8u, lanes());
    SmallVector<Value *> bases;
    SmallVector<IrBuilder::Walk> walks;
    for (const IrBuilder::Walk &element : elements) {
      bases.push_back(element.pointer);
      walks.push_back({element.pointer, element.stride * wide});
    }
    if (std::uint64_t full = count / wide) {
      Operations ops(code, params, layout, wide);
      code.repeat(full, walks, {}, [&](ArrayRef<Value *> at, IrBuilder::Carried) { body(ops, wide, wide, 0, at); });
    }
    Operations eight(code, params, layout, 8), four(code, params, layout, 4);
    for (std::uint64_t first = count / wide * wide; first < count; first += 8) {
      unsigned used = static_cast<unsigned>(std::min<std::uint64_t>(8, count - first)), lanes = used > 4 ? 8 : 4;
      body(lanes == 8 ? eight : four, lanes, used, first, bases);
    }
  }

  //===--------------------------------------------------------------------===//
  // Inputs
  //===--------------------------------------------------------------------===//

  void readInputs(const Rows &row) {
    inVectors(signature.inputs, {{params, 4}, {row.scratch, codeBytes()}, {row.x, 4}},
              [&](Operations &ops, unsigned lanes, unsigned used, std::uint64_t first, ArrayRef<Value *> at) {
                Value *v = code.loadFirst(code.getFloatTy(), used, lanes, at[2], 4 * first, 4);
                if (!isFloat())
                  v = ops.mul(v, ops.loadFloats(at[0], layout.inputScaleOffset + 4 * first));
                v = quant::clamp(ops, ops.splatOf(layout.inputBoundsOffset), ops.splatOf(layout.inputBoundsOffset + 4),
                                 v);
                if (!isFloat())
                  v = codesOf(ops, v, lanes);
                code.store(v, at[1], layout.codesOffset + codeBytes() * first, codeBytes());
              });
  }

  /// sat16(rnd(v))
  Value *codesOf(Operations &ops, Value *v, unsigned lanes) {
    Value *rounded = quant::roundToCode(ops, v);
    rounded = code.CreateBinaryIntrinsic(llvm::Intrinsic::smax, rounded, ops.integer(-32768));
    rounded = code.CreateBinaryIntrinsic(llvm::Intrinsic::smin, rounded, ops.integer(32767));
    return code.CreateTrunc(rounded, code.vectorOf(code.getInt16Ty(), lanes));
  }

  //===--------------------------------------------------------------------===//
  // Sums of int8 weights
  //===--------------------------------------------------------------------===//

  /// acc + the sums of the products of neighbouring i16 of `words` and `codes`, all <lanes x i32>.
  Value *addDot(Value *acc, Value *words, Value *codes) {
    unsigned lanes = llvm::cast<llvm::FixedVectorType>(acc->getType())->getNumElements();
    if (target.vectors == Vectors::Avx512) {
      llvm::Intrinsic::ID id = lanes == 16  ? llvm::Intrinsic::x86_avx512_vpdpwssd_512
                               : lanes == 8 ? llvm::Intrinsic::x86_avx512_vpdpwssd_256
                                            : llvm::Intrinsic::x86_avx512_vpdpwssd_128;
      return code.CreateIntrinsic(id, {}, {acc, words, codes});
    }
    llvm::Type *halves = code.vectorOf(code.getInt16Ty(), 2 * lanes);
    words = code.CreateBitCast(words, halves);
    codes = code.CreateBitCast(codes, halves);
    if (target.isX86) {
      llvm::Intrinsic::ID id = lanes == 8 ? llvm::Intrinsic::x86_avx2_pmadd_wd : llvm::Intrinsic::x86_sse2_pmadd_wd;
      return code.CreateAdd(acc, code.CreateIntrinsic(id, {}, {words, codes}));
    }
    auto product = [&](int parity) {
      SmallVector<int> mask;
      for (unsigned i = 0; i < lanes; ++i)
        mask.push_back(static_cast<int>(2 * i) + parity);
      auto widened = [&](Value *v) { return code.CreateSExt(code.CreateShuffleVector(v, mask), acc->getType()); };
      return code.CreateMul(widened(words), widened(codes));
    };
    return code.CreateAdd(acc, code.CreateAdd(product(0), product(1)));
  }

  llvm::FixedVectorType *integers(unsigned lanes) { return code.vectorOf(code.getInt32Ty(), lanes); }

  /// -128 times the sum of `count` codes, mod 2^32.
  Value *correction(Value *codes, std::uint32_t count) {
    constexpr std::int32_t kFactors = static_cast<std::int32_t>(0xFF80FF80); // two i16
    Value *total = nullptr;
    auto collect = [&](Value *sums) {
      Value *sum = code.CreateAddReduce(sums);
      total = total ? code.CreateAdd(total, sum) : sum;
    };
    std::uint32_t wide = 2 * lanes(), full = count / wide;
    if (full) {
      llvm::FixedVectorType *type = integers(lanes());
      auto step = [&](ArrayRef<Value *> at, IrBuilder::Carried sums) {
        sums[0] = addDot(sums[0], code.load(type, at[0], 0, 2), code.splatConstant(kFactors, lanes()));
      };
      collect(code.repeat(full, {{codes, 2 * wide}}, {llvm::Constant::getNullValue(type)}, step)[0]);
    }
    std::uint32_t first = full * wide;
    if (first < count) {
      // Behind the last code may stand anything; eight of them may be read.
      llvm::FixedVectorType *type = integers(4);
      Value *sums = llvm::Constant::getNullValue(type);
      for (; first < count; first += 8) {
        Value *eight = code.load(type, codes, 2 * first, 2);
        sums = addDot(sums, firstCodes(eight, count - first), code.splatConstant(kFactors, 4));
      }
      collect(sums);
    }
    return total;
  }

  /// Eight codes, of which those from the `count`-th on are zeroed.
  Value *firstCodes(Value *eight, std::uint32_t count) {
    if (count >= 8)
      return eight;
    SmallVector<llvm::Constant *> mask;
    for (std::uint32_t i = 0; i < 8; ++i)
      mask.push_back(code.getInt16(i < count ? 0xFFFF : 0));
    return code.CreateAnd(eight, llvm::ConstantExpr::getBitCast(llvm::ConstantVector::get(mask), eight->getType()));
  }

  /// Each of the `pairs` pairs of codes at `pointer + offset`, in lanes / pairs neighbouring lanes.
  Value *spreadPairs(Value *pointer, std::uint64_t offset, unsigned pairs, unsigned lanes) {
    if (pairs == 1)
      return code.CreateVectorSplat(lanes, code.load(code.getInt32Ty(), pointer, offset, 2));
    SmallVector<int> mask;
    for (unsigned i = 0; i < lanes; ++i)
      mask.push_back(static_cast<int>(i / (lanes / pairs)));
    return code.CreateShuffleVector(code.load(integers(pairs), pointer, offset, 2), mask);
  }

  /// Words of weights X, and X >> 8.
  std::pair<Value *, Value *> wordsAndHighs(Value *words) {
    unsigned lanes = llvm::cast<llvm::FixedVectorType>(words->getType())->getNumElements();
    Value *halves = code.CreateBitCast(words, code.vectorOf(code.getInt16Ty(), 2 * lanes));
    return {words, code.CreateBitCast(code.CreateAShr(halves, 8), words->getType())};
  }

  /// sum X c and sum (X >> 8) c over all pairs for the columns, `laneCount` lanes each: [row][column]. `stride` bytes
  /// lie between the weights of two pairs. A single column whose words fill only a part of a vector is taken several
  /// pairs at a time.
  SmallVector<SmallVector<Sums, 4>> dotProducts(const Rows &rows, Value *weights, Value *firstCodes,
                                                ArrayRef<Column> columns, unsigned laneCount, std::uint64_t stride,
                                                std::uint32_t pairs) {
    unsigned together = 1;
    if (columns.size() == 1 && stride == 4 * laneCount)
      while (2 * together * laneCount <= lanes() && 2 * together <= pairs)
        together *= 2;
    unsigned wide = together * laneCount;

    // A chain of dependent instructions has a latency of about four, and one or two start in a cycle.
    unsigned chains = static_cast<unsigned>(2 * rows.count * columns.size());
    unsigned sets = target.vectors == Vectors::Avx512 ? std::max(1u, 8 / chains) : 1;
    std::uint32_t steps = pairs / together;
    sets = std::min<unsigned>(sets, llvm::bit_floor(steps));
    // Sixteen registers and instructions of two operands leave no room for a second step.
    unsigned unroll = rows.count == 1 && lanes() > 4 ? std::max(sets, 2u) : sets;
    unroll = std::min<unsigned>(unroll, llvm::bit_floor(steps));

    std::size_t sumCount = columns.size() * rows.count;
    SmallVector<Value *> initial(2 * sumCount * sets, llvm::Constant::getNullValue(integers(wide)));
    auto step = [&](Value *weightsAt, Value *codesAt, unsigned number, IrBuilder::Carried acc) {
      SmallVector<Value *, kTileRows> codes;
      for (unsigned r = 0; r < rows.count; ++r)
        codes.push_back(spreadPairs(codesAt, r * rows.scratchStride + 4 * number * together, together, wide));
      Value **sums = &acc[2 * sumCount * (number % sets)];
      for (const Column &column : columns) {
        auto [words, high] =
            wordsAndHighs(code.load(integers(wide), weightsAt, column.offset + number * together * stride, 16));
        for (unsigned r = 0; r < rows.count; ++r, sums += 2) {
          sums[0] = addDot(sums[0], words, codes[r]);
          sums[1] = addDot(sums[1], high, codes[r]);
        }
      }
    };
    auto end = code.repeat(steps / unroll,
                           {{weights, std::uint64_t{unroll} * together * stride}, {firstCodes, 4 * unroll * together}},
                           initial, [&](ArrayRef<Value *> at, IrBuilder::Carried acc) {
                             for (unsigned number = 0; number < unroll; ++number)
                               step(at[0], at[1], number, acc);
                           });
    weights = end[initial.size()];
    firstCodes = end[initial.size() + 1];
    IrBuilder::Carried acc = IrBuilder::Carried(end).take_front(initial.size());
    for (unsigned number = 0; number < steps % unroll; ++number)
      step(weights, firstCodes, number, acc);
    std::uint64_t done = steps % unroll * together;

    for (unsigned set = 1; set < sets; ++set)
      for (std::size_t i = 0; i < 2 * sumCount; ++i)
        acc[i] = code.CreateAdd(acc[i], acc[2 * sumCount * set + i]);
    for (unsigned width = wide; width > laneCount; width /= 2)
      for (std::size_t i = 0; i < 2 * sumCount; ++i)
        acc[i] = code.CreateAdd(code.slice(acc[i], 0, width / 2), code.slice(acc[i], width / 2, width / 2));
    // Pairs that do not fill a vector. There is one column.
    for (std::uint32_t i = 0; i < pairs % together; ++i) {
      auto [words, high] =
          wordsAndHighs(code.load(integers(laneCount), weights, columns[0].offset + (done + i) * stride, 16));
      for (unsigned r = 0; r < rows.count; ++r) {
        Value *codes = spreadPairs(firstCodes, r * rows.scratchStride + 4 * (done + i), 1, laneCount);
        acc[2 * r] = addDot(acc[2 * r], words, codes);
        acc[2 * r + 1] = addDot(acc[2 * r + 1], high, codes);
      }
    }

    SmallVector<SmallVector<Sums, 4>> result(rows.count);
    for (std::size_t c = 0; c < columns.size(); ++c)
      for (unsigned r = 0; r < rows.count; ++r)
        result[r].push_back({acc[2 * (c * rows.count + r)], acc[2 * (c * rows.count + r) + 1]});
    return result;
  }

  /// As dotProducts, of one row and its active pairs.
  SmallVector<SmallVector<Sums, 4>> activeDotProducts(Value *weights, Value *codes, ArrayRef<Column> columns,
                                                      unsigned laneCount, std::uint64_t stride) {
    SmallVector<Value *> initial(2 * columns.size(), llvm::Constant::getNullValue(integers(laneCount)));
    initial.push_back(active.list);
    auto end = code.repeatWhileLeft(active.count, initial, [&](IrBuilder::Carried carried) {
      Value *number = code.CreateZExt(code.load(code.getInt16Ty(), carried.back(), 0, 2), code.getInt64Ty());
      auto elementOf = [&](Value *array, std::uint64_t bytes) {
        return code.CreateInBoundsGEP(code.getInt8Ty(), array, code.CreateMul(number, code.getInt64(bytes)));
      };
      Value *pair = spreadPairs(elementOf(codes, 4), 0, 1, laneCount), *words = elementOf(weights, stride);
      for (auto [c, column] : llvm::enumerate(columns)) {
        auto [all, high] = wordsAndHighs(code.load(integers(laneCount), words, column.offset, 16));
        carried[2 * c] = addDot(carried[2 * c], all, pair);
        carried[2 * c + 1] = addDot(carried[2 * c + 1], high, pair);
      }
      carried.back() = code.advance(carried.back(), 2);
    });
    SmallVector<SmallVector<Sums, 4>> result(1);
    for (std::size_t c = 0; c < columns.size(); ++c)
      result[0].push_back({end[2 * c], end[2 * c + 1]});
    return result;
  }

  /// Lists the pairs of codes that are not both 0, in the row's scratch, behind the word in which WebAssembly's kernels
  /// keep the list's end.
  ActivePairs listActivePairs(const Rows &row, Value *codes, std::uint32_t pairs) {
    constexpr std::uint32_t kMaskPairs = 32;
    Value *list = code.advance(row.scratch, layout.activeOffset + 4);
    // Bit i is set if pair i of those at the pointer is active.
    auto maskOf = [&](Value *pointer, std::uint64_t offset, unsigned lanes) {
      Value *some = code.load(integers(lanes), pointer, offset, 2);
      Value *bits = code.CreateBitCast(code.CreateIsNotNull(some), code.getIntNTy(lanes));
      return code.CreateZExt(bits, code.getInt32Ty());
    };
    auto append = [&](Value *mask, Value *first, Value *end) {
      Value *count = code.CreateUnaryIntrinsic(llvm::Intrinsic::ctpop, mask);
      return code.repeatWhileLeft(count, {mask, end}, [&](IrBuilder::Carried left) {
        Value *bit = code.CreateBinaryIntrinsic(llvm::Intrinsic::cttz, left[0], code.getTrue());
        code.store(code.CreateTrunc(code.CreateAdd(first, bit), code.getInt16Ty()), left[1], 0, 2);
        left[0] = code.CreateAnd(left[0], code.CreateSub(left[0], code.getInt32(1)));
        left[1] = code.advance(left[1], 2);
      })[1];
    };
    Value *end = list;
    std::uint32_t full = pairs / kMaskPairs, rest = pairs % kMaskPairs;
    if (full)
      end = code.repeat(full, {{codes, 4 * kMaskPairs}}, {end, code.getInt32(0)},
                        [&](ArrayRef<Value *> at, IrBuilder::Carried listed) {
                          listed[0] = append(maskOf(at[0], 0, kMaskPairs), listed[1], listed[0]);
                          listed[1] = code.CreateAdd(listed[1], code.getInt32(kMaskPairs));
                        })[0];
    if (rest) {
      // Behind the last code may stand anything; eight of them may be read.
      Value *mask = code.getInt32(0);
      for (std::uint32_t first = 0; first < rest; first += 4)
        mask = code.CreateOr(mask, code.CreateShl(maskOf(codes, 4 * (full * kMaskPairs + first), 4), first));
      mask = code.CreateAnd(mask, code.getInt32((1u << rest) - 1));
      end = append(mask, code.getInt32(full * kMaskPairs), end);
    }
    Value *bytes = code.CreatePtrDiff(code.getInt8Ty(), end, list);
    return {list, code.CreateTrunc(code.CreateLShr(bytes, 1), code.getInt32Ty())};
  }

  /// Low outputs' sums from A and B: A - 256 B.
  Value *lowOf(Sums sums) { return code.CreateSub(sums.a, code.CreateShl(sums.b, 8)); }

  /// Sums of outputs in their order, from those of the low and of the high ones: four of each in turn.
  Value *inOrder(Value *low, Value *high, unsigned groups) {
    int lanes = static_cast<int>(llvm::cast<llvm::FixedVectorType>(low->getType())->getNumElements());
    SmallVector<int> mask;
    for (int g = 0; g < static_cast<int>(groups); ++g)
      for (int half : {0, lanes})
        for (int l = 0; l < 4; ++l)
          mask.push_back(half + 4 * g + l);
    return code.CreateShuffleVector(low, high, mask);
  }

  /// i32 in the order of outputs, split into low and high ones.
  Sums outOfOrder(Value *values, unsigned groups) {
    SmallVector<int> low, high;
    for (int i = 0; i < static_cast<int>(8 * groups); ++i)
      (i % 8 < 4 ? low : high).push_back(i);
    return {code.CreateShuffleVector(values, low), code.CreateShuffleVector(values, high)};
  }

  /// The layer's sums, to the accumulators, and its residuals.
  void accumulate(const Rows &rows, const LayerLayout &layer, std::uint64_t codesOffset) {
    Value *codes = code.advance(rows.scratch, codesOffset);
    if (isSparse(layer)) // each row skips other pairs
      forEachRow(rows, [&](const Rows &row) {
        Value *ofRow = code.advance(row.scratch, codesOffset);
        active = listActivePairs(row, ofRow, layer.kPairs);
        accumulateBlocks(row, layer, ofRow);
      });
    else if (layer.blockedOutputs())
      accumulateBlocks(rows, layer, codes);
    if (layer.rowOutputs)
      accumulateRows(rows, layer, codes);
    if (hasResiduals())
      accumulateResiduals(rows, layer, codes);
  }

  void accumulateBlocks(const Rows &rows, const LayerLayout &layer, Value *codes) {
    SmallVector<Value *, kTileRows> correct;
    for (unsigned r = 0; r < rows.count; ++r)
      correct.push_back(correction(code.advance(codes, r * rows.scratchStride), layer.fanIn));
    Value *weights = code.advance(params, layer.blocksOffset);
    Value *sums = code.advance(rows.scratch, layout.accumulatorsOffset);

    unsigned inBlock = std::max(1u, quant::kBlockOutputs / (2 * lanes()));
    unsigned atOnce = rows.count == 1 ? 4 : lanes() == 16 ? 2 : 1; // columns
    unsigned blocks = std::max(1u, atOnce / inBlock);
    std::uint64_t bytes = quant::blockBytes(quant::kBlockOutputs, layer.kPairs);
    auto accumulateBlocks = [&](unsigned count, unsigned outputs, Value *weights, Value *sums) {
      SmallVector<Column> columns;
      for (unsigned block = 0; block < count; ++block)
        for (unsigned first = 0; first < outputs; first += 2 * lanes())
          columns.push_back({block * bytes + 4 * outputs + 2 * first, block * bytes + 4 * first,
                             4 * (block * quant::kBlockOutputs + first),
                             std::min(outputs - first, 2 * lanes()) / kGroupOutputs});
      for (std::size_t c = 0; c < columns.size(); c += atOnce) {
        ArrayRef<Column> some = ArrayRef(columns).slice(c, std::min<std::size_t>(atOnce, columns.size() - c));
        accumulateColumns(rows, layer, some, outputs, weights, codes, sums, correct);
      }
    };
    if (std::uint32_t full = layer.fullBlocks / blocks) {
      auto end = code.repeat(full, {{weights, blocks * bytes}, {sums, 4 * blocks * quant::kBlockOutputs}}, {},
                             [&](ArrayRef<Value *> at, IrBuilder::Carried) {
                               accumulateBlocks(blocks, quant::kBlockOutputs, at[0], at[1]);
                             });
      weights = end[0];
      sums = end[1];
    }
    if (unsigned rest = layer.fullBlocks % blocks) {
      accumulateBlocks(rest, quant::kBlockOutputs, weights, sums);
      weights = code.advance(weights, rest * bytes);
      sums = code.advance(sums, 4 * rest * quant::kBlockOutputs);
    }
    if (layer.tailOutputs)
      accumulateBlocks(1, layer.tailOutputs, weights, sums);
  }

  /// A 16-bit word X of weights is 256 h + l + 128. With A = sum X c and B = sum (X >> 8) c = sum h c, the sum of l c
  /// is A - 256 B - 128 sum c, mod 2^32 (quantization-v1, "Two outputs per word"). The vector of a last column may
  /// reach past its block, into parameters that follow every block; what it makes of them is not used.
  void accumulateColumns(const Rows &rows, const LayerLayout &layer, ArrayRef<Column> columns, unsigned outputs,
                         Value *weights, Value *codes, Value *sums, ArrayRef<Value *> correct) {
    unsigned laneCount = columns.size() == 1 ? 4 * llvm::bit_ceil(columns[0].used) : lanes();
    auto dots = isSparse(layer) ? activeDotProducts(weights, codes, columns, laneCount, 2 * outputs)
                                : dotProducts(rows, weights, codes, columns, laneCount, 2 * outputs, layer.kPairs);
    for (auto [c, column] : llvm::enumerate(columns)) {
      Sums bias = outOfOrder(code.load(integers(2 * laneCount), weights, column.bias, 16), laneCount / 4);
      for (unsigned r = 0; r < rows.count; ++r) {
        Sums dot = dots[r][c];
        dot.a = code.CreateAdd(code.CreateAdd(dot.a, bias.a), code.CreateVectorSplat(laneCount, correct[r]));
        dot.b = code.CreateAdd(dot.b, bias.b);
        Value *ordered = inOrder(lowOf(dot), dot.b, column.used);
        unsigned first = 0;
        for (unsigned left = 8 * column.used; left > 0; left -= llvm::bit_floor(left)) {
          unsigned some = llvm::bit_floor(left);
          code.store(code.slice(ordered, first, some), sums, r * rows.scratchStride + column.sums + 4 * first, 16);
          first += some;
        }
      }
    }
  }

  /// The i32 sums of the products of the int8 weights from `weights + offset` on and each row's codes.
  SmallVector<Value *, kTileRows> rowSums(const Rows &rows, Value *weights, std::uint64_t offset, Value *codes,
                                          std::uint32_t fanIn) {
    auto addProducts = [&](Value *weightsAt, std::uint64_t weight, Value *codesAt, std::uint64_t first, unsigned lanes,
                           std::uint32_t count, IrBuilder::Carried sums) {
      Value *bytes = code.load(code.vectorOf(code.getInt8Ty(), 2 * lanes), weightsAt, weight, 1);
      Value *words = code.CreateSExt(bytes, code.vectorOf(code.getInt16Ty(), 2 * lanes));
      for (unsigned r = 0; r < rows.count; ++r) {
        Value *some = code.load(integers(lanes), codesAt, r * rows.scratchStride + 2 * first, 2);
        sums[r] = addDot(sums[r], code.CreateBitCast(words, integers(lanes)), firstCodes(some, count));
      }
    };
    SmallVector<Value *, kTileRows> totals(rows.count, code.getInt32(0));
    auto collect = [&](ArrayRef<Value *> sums) {
      for (unsigned r = 0; r < rows.count; ++r)
        totals[r] = code.CreateAdd(totals[r], code.CreateAddReduce(sums[r]));
    };
    std::uint32_t wide = 2 * lanes(), full = fanIn / wide;
    if (full) {
      SmallVector<Value *> initial(rows.count, llvm::Constant::getNullValue(integers(lanes())));
      collect(code.repeat(full, {{weights, wide}, {codes, 2 * wide}}, initial,
                          [&](ArrayRef<Value *> at, IrBuilder::Carried sums) {
                            addProducts(at[0], offset, at[1], 0, lanes(), wide, sums);
                          }));
    }
    // What follows the weights and the codes may be read, eight of each.
    SmallVector<Value *> sums(rows.count, llvm::Constant::getNullValue(integers(4)));
    for (std::uint32_t first = full * wide; first < fanIn; first += 8)
      addProducts(weights, offset + first, codes, first, 4, fanIn - first, sums);
    if (fanIn % wide)
      collect(sums);
    return totals;
  }

  void accumulateRows(const Rows &rows, const LayerLayout &layer, Value *codes) {
    Value *numbers = code.advance(params, layer.rowsOffset);
    Value *first = code.advance(rows.scratch, layout.accumulatorsOffset + 4 * layer.blockedOutputs());
    code.repeat(layer.rowOutputs, {{numbers, layer.fanIn}, {numbers, 4}, {first, 4}}, {},
                [&](ArrayRef<Value *> at, IrBuilder::Carried) {
                  Value *bias = code.load(code.getInt32Ty(), at[1], 0, 4);
                  auto sums = rowSums(rows, at[0], 4 * layer.rowOutputs, codes, layer.fanIn);
                  for (unsigned r = 0; r < rows.count; ++r)
                    code.store(code.CreateAdd(bias, sums[r]), at[2], r * rows.scratchStride, 4);
                });
  }

  void accumulateResiduals(const Rows &rows, const LayerLayout &layer, Value *codes) {
    llvm::Constant *zeros = llvm::Constant::getNullValue(code.vectorOf(code.getFloatTy(), 4));
    for (unsigned r = 0; r < rows.count; ++r)
      code.repeat(
          layer.vectorLength / 4, {{code.advance(rows.scratch, r * rows.scratchStride), 16}}, {},
          [&](ArrayRef<Value *> at, IrBuilder::Carried) { code.store(zeros, at[0], layout.residualsOffset, 16); });
    Value *count = code.load(code.getInt32Ty(), params, layer.residualCountOffset, 4);
    residualRow = code.repeatWhileLeft(count, {residualRow}, [&](IrBuilder::Carried at) {
      Value *row = at[0];
      Value *output = code.CreateZExt(code.load(code.getInt32Ty(), row, 0, 4), code.getInt64Ty());
      Value *residual = code.CreateInBoundsGEP(code.getInt8Ty(), rows.scratch, code.CreateShl(output, 2));
      Value *multiplier = code.load(code.getFloatTy(), row, quant::kResidualMultiplierOffset, 4);
      auto sums = rowSums(rows, row, quant::kResidualWeightsOffset, codes, layer.fanIn);
      for (unsigned r = 0; r < rows.count; ++r)
        code.store(code.CreateFMul(code.CreateSIToFP(sums[r], code.getFloatTy()), multiplier), residual,
                   r * rows.scratchStride + layout.residualsOffset, 4);
      at[0] = code.advance(row, quant::residualRowBytes(layer.fanIn));
    })[0];
  }

  //===--------------------------------------------------------------------===//
  // Sums of f32 weights
  //===--------------------------------------------------------------------===//

  void accumulateFloats(const Rows &rows, const LayerLayout &layer, std::uint64_t valuesOffset) {
    Value *values = code.advance(rows.scratch, valuesOffset);
    Value *weights = code.advance(params, layer.blocksOffset);
    Value *sums = code.advance(rows.scratch, layout.accumulatorsOffset);
    unsigned inBlock = std::max(1u, quant::kFloatBlockOutputs / lanes());
    unsigned atOnce = rows.count == 1 ? 8 : 2; // columns
    unsigned blocks = std::max(1u, atOnce / inBlock);
    std::uint64_t bytes = quant::floatBlockBytes(quant::kFloatBlockOutputs, layer.fanIn);
    auto accumulateBlocks = [&](unsigned count, unsigned outputs, Value *weights, Value *sums) {
      SmallVector<Column> columns;
      for (unsigned block = 0; block < count; ++block)
        for (unsigned first = 0; first < outputs; first += lanes())
          columns.push_back({block * bytes + 4 * (outputs + first), block * bytes + 4 * first,
                             4 * (block * quant::kFloatBlockOutputs + first), std::min(outputs - first, lanes())});
      for (std::size_t c = 0; c < columns.size(); c += atOnce) {
        ArrayRef<Column> some = ArrayRef(columns).slice(c, std::min<std::size_t>(atOnce, columns.size() - c));
        accumulateFloatColumns(rows, layer, some, outputs, weights, values, sums);
      }
    };
    if (std::uint32_t full = layer.fullBlocks / blocks) {
      auto end = code.repeat(full, {{weights, blocks * bytes}, {sums, 4 * blocks * quant::kFloatBlockOutputs}}, {},
                             [&](ArrayRef<Value *> at, IrBuilder::Carried) {
                               accumulateBlocks(blocks, quant::kFloatBlockOutputs, at[0], at[1]);
                             });
      weights = end[0];
      sums = end[1];
    }
    if (unsigned rest = layer.fullBlocks % blocks) {
      accumulateBlocks(rest, quant::kFloatBlockOutputs, weights, sums);
      weights = code.advance(weights, rest * bytes);
      sums = code.advance(sums, 4 * rest * quant::kFloatBlockOutputs);
    }
    if (layer.tailOutputs)
      accumulateBlocks(1, layer.tailOutputs, weights, sums);
    if (layer.rowOutputs)
      accumulateFloatRows(rows, layer, values);
  }

  /// Four interleaved sums of each row. Lanes behind the last value add zeros to theirs, which changes nothing.
  void accumulateFloatRows(const Rows &rows, const LayerLayout &layer, Value *values) {
    llvm::FixedVectorType *type = code.vectorOf(code.getFloatTy(), 4);
    std::uint64_t full = layer.fanIn / 4, weightsOffset = 4 * layer.rowOutputs;
    Value *numbers = code.advance(params, layer.rowsOffset);
    Value *first = code.advance(rows.scratch, layout.accumulatorsOffset + 4 * layer.blockedOutputs());
    auto accumulate = [&](Value *weightsAt, Value *valuesAt, std::uint64_t k, unsigned used, IrBuilder::Carried sums) {
      Value *weights = code.load(type, weightsAt, weightsOffset + 4 * k, 4);
      for (unsigned r = 0; r < rows.count; ++r) {
        Value *some = code.loadFirst(code.getFloatTy(), used, 4, valuesAt, r * rows.scratchStride + 4 * k, 4);
        sums[r] = code.CreateFAdd(sums[r], code.CreateFMul(weights, some));
      }
    };
    code.repeat(layer.rowOutputs, {{numbers, std::uint64_t{4} * layer.fanIn}, {numbers, 4}, {first, 4}}, {},
                [&](ArrayRef<Value *> at, IrBuilder::Carried) {
                  SmallVector<Value *> sums(rows.count, llvm::Constant::getNullValue(type));
                  if (full)
                    sums = code.repeat(full, {{at[0], 16}, {values, 16}}, sums,
                                       [&](ArrayRef<Value *> four, IrBuilder::Carried acc) {
                                         accumulate(four[0], four[1], 0, 4, acc);
                                       });
                  if (layer.fanIn % 4)
                    accumulate(at[0], values, 4 * full, layer.fanIn % 4, sums);
                  Value *bias = code.load(code.getFloatTy(), at[1], 0, 4);
                  for (unsigned r = 0; r < rows.count; ++r) {
                    Value *halves = code.CreateFAdd(code.slice(sums[r], 0, 2), code.slice(sums[r], 2, 2));
                    Value *sum = code.CreateFAdd(code.CreateExtractElement(halves, std::uint64_t{0}),
                                                 code.CreateExtractElement(halves, std::uint64_t{1}));
                    code.store(code.CreateFAdd(bias, sum), at[2], r * rows.scratchStride, 4);
                  }
                });
  }

  /// The order of the additions is part of the result: one product after the other.
  void accumulateFloatColumns(const Rows &rows, const LayerLayout &layer, ArrayRef<Column> columns, unsigned outputs,
                              Value *weights, Value *values, Value *sums) {
    unsigned laneCount = columns.size() == 1 ? llvm::bit_ceil(columns[0].used) : lanes();
    llvm::FixedVectorType *type = code.vectorOf(code.getFloatTy(), laneCount);
    SmallVector<Value *> initial;
    for (const Column &column : columns) {
      Value *bias = code.load(type, weights, column.bias, 16);
      initial.append(rows.count, bias);
    }
    unsigned unroll = rows.count == 1 && layer.fanIn > 1 ? 2 : 1;
    auto step = [&](Value *weightsAt, Value *valuesAt, unsigned number, IrBuilder::Carried acc) {
      SmallVector<Value *, kTileRows> value;
      for (unsigned r = 0; r < rows.count; ++r)
        value.push_back(code.CreateVectorSplat(
            laneCount, code.load(code.getFloatTy(), valuesAt, r * rows.scratchStride + 4 * number, 4)));
      Value **sum = acc.data();
      for (const Column &column : columns) {
        Value *weight = code.load(type, weightsAt, column.offset + std::uint64_t{4} * number * outputs, 16);
        for (unsigned r = 0; r < rows.count; ++r, ++sum)
          *sum = code.CreateFAdd(*sum, code.CreateFMul(weight, value[r]));
      }
    };
    auto end = code.repeat(layer.fanIn / unroll, {{weights, std::uint64_t{4} * unroll * outputs}, {values, 4 * unroll}},
                           initial, [&](ArrayRef<Value *> at, IrBuilder::Carried acc) {
                             for (unsigned number = 0; number < unroll; ++number)
                               step(at[0], at[1], number, acc);
                           });
    IrBuilder::Carried acc = IrBuilder::Carried(end).take_front(initial.size());
    if (layer.fanIn % unroll)
      step(end[initial.size()], end[initial.size() + 1], 0, acc);
    Value **sum = acc.data();
    for (const Column &column : columns)
      for (unsigned r = 0; r < rows.count; ++r, ++sum) {
        unsigned first = 0;
        for (unsigned left = column.used; left > 0; left -= llvm::bit_floor(left)) {
          unsigned some = llvm::bit_floor(left);
          code.store(code.slice(*sum, first, some), sums, r * rows.scratchStride + column.sums + 4 * first, 16);
          first += some;
        }
      }
  }

  //===--------------------------------------------------------------------===//
  // Activation functions and heads
  //===--------------------------------------------------------------------===//

  /// From the accumulators to codes, f32 values or logits.
  void activate(const Rows &row, const Run &run) {
    bool isExact = run.isLast && !hasHead();
    std::uint64_t bytes = run.isLast || isFloat() ? 4 : 2; // of a result
    std::uint64_t target = isExact      ? 4 * std::uint64_t{run.first}
                           : run.isLast ? layout.logitsOffset + 4 * std::uint64_t{run.first}
                                        : layout.codesOffset + bytes * (run.layer.codesBegin + run.first);
    inVectors(run.group.count, {{params, 4}, {isExact ? row.y : row.scratch, bytes}, {row.scratch, 4}},
              [&](Operations &ops, unsigned lanes, unsigned used, std::uint64_t first, ArrayRef<Value *> at) {
                std::uint64_t element = 4 * (run.first + first);
                auto array = [&](std::uint64_t offset) { return ops.loadFloats(at[0], offset + element); };
                std::uint64_t sum = layout.accumulatorsOffset + element;
                Value *t = isFloat()
                               ? ops.loadFloats(at[2], sum)
                               : ops.mul(ops.convert(ops.loadIntegers(at[2], sum)), array(run.layer.multiplierOffset));
                if (hasResiduals())
                  t = ops.add(t, ops.loadFloats(at[2], layout.residualsOffset + element));
                if (run.group.clamped) {
                  Value *limit = array(run.layer.limitOffset);
                  t = quant::clamp(ops, ops.neg(limit), limit, t);
                }
                Value *result = run.isLast || isFloat() ? valueOf(ops, run, t, array) : codeOf(ops, run, t, lanes);
                unsigned align = static_cast<unsigned>(bytes);
                if (isExact)
                  code.storeFirst(result, used, at[1], target + bytes * first, align);
                else
                  code.store(result, at[1], target + bytes * first, align);
              });
  }

  /// The f32 value of a hidden layer of f32 weights, or a logit.
  Value *valueOf(Operations &ops, const Run &run, Value *t, llvm::function_ref<Value *(std::uint64_t)> array) {
    Value *v =
        quant::evaluate(ops, run.group.function, t, isFloat() ? quant::Rendering::Precise : quant::Rendering::Output);
    if (run.isLast && signature.outputAffine)
      v = ops.add(ops.mul(v, array(layout.outputGainOffset)), array(layout.outputOffsetOffset));
    return v;
  }

  Value *codeOf(Operations &ops, const Run &run, Value *t, unsigned lanes) {
    Value *v = quant::evaluateCode(ops, run.group.function, t);
    if (quant::codeKindOf(run.group.function) == quant::CodeKind::Unbounded)
      v = quant::clamp(ops, ops.splatOf(run.layer.boundsOffset), ops.splatOf(run.layer.boundsOffset + 4), v);
    return codesOf(ops, v, lanes);
  }

  /// Folds the logits by `next`: every fourth, then the four, then the rest. The order is part of the result.
  Value *foldLogits(const Rows &row, llvm::function_ref<Value *(Value *, Value *)> next) {
    auto logit = [&](Value *pointer, std::uint32_t n) {
      return code.load(code.getFloatTy(), pointer, layout.logitsOffset + 4 * n, 4);
    };
    std::uint32_t count = signature.logits(), full = count / 4;
    SmallVector<Value *> known;
    for (std::uint32_t n = 0; n < std::min(count, 4u); ++n)
      known.push_back(logit(row.scratch, n));
    if (full > 1) {
      auto end = code.repeat(full - 1, {{row.scratch, 16}}, known, [&](ArrayRef<Value *> at, IrBuilder::Carried lanes) {
        for (std::uint32_t n = 0; n < 4; ++n)
          lanes[n] = next(lanes[n], logit(at[0], 4 + n));
      });
      std::copy_n(end.begin(), 4, known.begin());
    }
    if (full == 0) {
      Value *result = known[0];
      for (std::uint32_t n = 1; n < count; ++n)
        result = next(result, known[n]);
      return result;
    }
    Value *result = next(next(known[0], known[1]), next(known[2], known[3]));
    for (std::uint32_t n = 4 * full; n < count; ++n)
      result = next(result, logit(row.scratch, n));
    return result;
  }

  void softmax(const Rows &row) {
    Operations scalar(code, params, layout, 1);
    std::uint32_t count = signature.logits();
    auto update = [&](llvm::function_ref<Value *(Operations &, Value *)> next) {
      inVectors(count, {{row.scratch, 4}},
                [&](Operations &ops, unsigned, unsigned, std::uint64_t first, ArrayRef<Value *> at) {
                  std::uint64_t offset = layout.logitsOffset + 4 * first;
                  code.store(next(ops, ops.loadFloats(at[0], offset)), at[0], offset, 4);
                });
    };
    update([&](Operations &ops, Value *v) { return ops.mul(v, ops.splatOf(layout.headScaleOffset)); });
    Value *largest = foldLogits(row, [&](Value *a, Value *b) { return scalar.pmax(a, b); });
    update([&](Operations &ops, Value *v) { return quant::evaluateExp(ops, ops.sub(v, ops.splat(largest))); });
    Value *sum = foldLogits(row, [&](Value *a, Value *b) { return scalar.add(a, b); });
    inVectors(count, {{row.scratch, 4}, {row.y, 4}},
              [&](Operations &ops, unsigned, unsigned used, std::uint64_t first, ArrayRef<Value *> at) {
                Value *e = ops.loadFloats(at[0], layout.logitsOffset + 4 * first);
                code.storeFirst(ops.div(e, ops.splat(sum)), used, at[1], 4 * first, 4);
              });
  }

  void argmax(const Rows &row) {
    Value *first = code.load(code.getFloatTy(), row.scratch, layout.logitsOffset, 4);
    Value *best = code.getInt32(0);
    if (signature.logits() > 1)
      best = code.repeat(signature.logits() - 1, {{row.scratch, 4}}, {first, best, code.getInt32(1)},
                         [&](ArrayRef<Value *> at, IrBuilder::Carried known) {
                           Value *v = code.load(code.getFloatTy(), at[0], layout.logitsOffset + 4, 4);
                           Value *isLarger = code.CreateFCmpOLT(known[0], v);
                           known[0] = code.CreateSelect(isLarger, v, known[0]);
                           known[1] = code.CreateSelect(isLarger, known[2], known[1]);
                           known[2] = code.CreateAdd(known[2], code.getInt32(1));
                         })[1];
    code.store(code.CreateSIToFP(best, code.getFloatTy()), row.y, 0, 4);
  }

  IrBuilder code;
  llvm::Function &function;
  const Signature &signature;
  const Layout &layout;
  const Target &target;
  Value *params = nullptr;
  Value *residualRow = nullptr; ///< the next one of the parameter block
  ActivePairs active{};         ///< of the row whose sparse layer is being written
};

} // namespace

void writeKernel(llvm::Module &module, llvm::StringRef name, const Signature &signature, const Layout &layout,
                 const Target &target) {
  llvm::LLVMContext &context = module.getContext();
  llvm::Type *pointer = llvm::PointerType::getUnqual(context);
  auto *type = llvm::FunctionType::get(llvm::Type::getVoidTy(context),
                                       {pointer, pointer, pointer, pointer, llvm::Type::getInt32Ty(context)}, false);
  auto *function = llvm::Function::Create(type, llvm::GlobalValue::ExternalLinkage, name, module);
  for (unsigned i = 0; i < 4; ++i)
    function->addParamAttr(i, llvm::Attribute::NoAlias);
  function->addFnAttr(llvm::Attribute::NoUnwind);
  function->addFnAttr("target-cpu", target.cpu);
  function->addFnAttr("target-features", target.features);
  function->addFnAttr("tune-cpu", target.tuning);
  std::string bits = std::to_string(8 * target.vectorBytes());
  function->addFnAttr("prefer-vector-width", bits);
  function->addFnAttr("min-legal-vector-width", bits);
  KernelIr(*function, signature, layout, target).write();
}

} // namespace kimic::native
