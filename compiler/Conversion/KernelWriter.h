// Writes the body of one kernel: what the scalar and the simd128 variant have in common, the order of things.
#pragma once

#include "compiler/Conversion/CodeBuilder.h"

#include <memory>

namespace kimic {

/// Works on tiles of quant::kTileRows rows, if the variant has code for them, and on single rows. What is done row by
/// row, with `scratch` being the area of the row, is written once for both; only the sums of a layer are written twice.
class KernelWriter {
public:
  using Value = mlir::Value;

  KernelWriter(CodeBuilder &code, const quant::Signature &signature, const quant::Layout &layout)
      : code(code), signature(signature), layout(layout) {}
  virtual ~KernelWriter() = default;

  /// Fills the body of a function of the kernel ABI.
  void write(mlir::Block &body);

protected:
  /// A run of outputs with one function.
  struct Run {
    const quant::LayerLayout &layer;
    const quant::ActivationGroup &group;
    std::uint32_t first; ///< output of the layer
    bool isLast;         ///< of the last layer: f32 logits
  };

  /// If not, rows are worked on one by one, and accumulateTile is not called.
  virtual bool hasTiles() const = 0;
  /// From x to codes, or to f32 values.
  virtual void readInputs(Value x) = 0;
  /// What the layer's sums need besides codes and weights, computed once for a row. `codes` is the first code that the
  /// layer reads.
  virtual void prepare(const quant::LayerLayout &layer, Value codes) = 0;
  /// The layer's sums, to the accumulators in scratch, and its residuals.
  virtual void accumulate(const quant::LayerLayout &layer, Value codes) = 0;
  /// The same for quant::kTileRows rows, whose areas begin at `scratch`; `codes` are those of the first row. Not called
  /// for a sparse layer: each row skips other codes.
  virtual void accumulateTile(const quant::LayerLayout &layer, Value codes) = 0;
  /// From the accumulators to codes, f32 values or logits.
  virtual void activate(const Run &run, Value y) = 0;
  virtual void writeSoftmax(Value y) = 0;

  bool isFloat() const { return signature.weights() == quant::WeightFormat::Float32; }
  bool hasResiduals() const { return signature.weights() == quant::WeightFormat::Int8Residual; }
  bool isSparse(const quant::LayerLayout &layer) const { return quant::isSparse(signature, layout, layer); }
  bool hasHead() const { return signature.head != quant::Head::None; }
  static bool hasBounds(const Run &run) { return quant::codeKindOf(run.group.function) == quant::CodeKind::Unbounded; }

  /// Where a run's results go: to y exactly, or to an array of scratch which vectors may overrun.
  struct Target {
    bool isExact;
    std::uint32_t offset; ///< of the run's first result, from y or scratch
    std::uint32_t stride; ///< bytes of a result
  };
  Target targetOf(const Run &run) const;

  /// t of the numeric specification from an accumulator as f32, the four or the one that `ops` works on. `array` loads
  /// the run's elements of a parameter array, `residual` those of the residuals.
  template <class Ops>
  typename Ops::V preActivation(Ops &ops, const Run &run, typename Ops::V acc,
                                llvm::function_ref<typename Ops::V(std::uint32_t)> array,
                                llvm::function_ref<typename Ops::V()> residual) {
    typename Ops::V t = isFloat() ? acc : ops.mul(acc, array(run.layer.multiplierOffset));
    if (hasResiduals())
      t = ops.add(t, residual());
    if (!run.group.clamped)
      return t;
    typename Ops::V limit = array(run.layer.limitOffset);
    return quant::clamp(ops, ops.neg(limit), limit, t);
  }

  /// The f32 value of a hidden layer of f32 weights, or a logit.
  template <class Ops>
  typename Ops::V evaluate(Ops &ops, const Run &run, typename Ops::V t,
                           llvm::function_ref<typename Ops::V(std::uint32_t)> array) {
    auto v =
        quant::evaluate(ops, run.group.function, t, isFloat() ? quant::Rendering::Precise : quant::Rendering::Output);
    if (run.isLast && signature.outputAffine)
      v = ops.add(ops.mul(v, array(layout.outputGainOffset)), array(layout.outputOffsetOffset));
    return v;
  }

  /// Runs `body` for residual rows of the layer from `row` on, `step` (a power of two) at a time as long as there are
  /// so many. It gets the address of the first one. Returns the address of those that are left.
  Value forResidualRows(const quant::LayerLayout &layer, std::uint32_t step, Value row,
                        llvm::function_ref<void(Value row)> body);
  /// Where in scratch the residual of a residual row's output lies, less layout.residualsOffset.
  Value residualTarget(Value row, std::uint32_t offset = 0);

  CodeBuilder &code;
  const quant::Signature &signature;
  const quant::Layout &layout;
  Value params, scratch;
  Value residualRows; ///< the layer's first one

private:
  /// Writes `rows` <= quant::kTileRows rows.
  void writeTile(Value x, Value y, Value rows);
  /// Runs `body` for each row, with `scratch` being its area; it gets the row's part of an array.
  void forRows(CodeBuilder::Walk array, llvm::function_ref<void(Value part)> body);
  void accumulateAll(std::size_t layer);
  void writeHead(Value y);
  void writeArgmax(Value y);
  Value codesOf(std::size_t layer);
  /// The end of the layer's residual rows.
  Value residualEnd(const quant::LayerLayout &layer);

  Value scratchEnd; ///< of the areas of the tile's rows
};

std::unique_ptr<KernelWriter> makeScalarWriter(CodeBuilder &code, const quant::Signature &signature,
                                               const quant::Layout &layout);
std::unique_ptr<KernelWriter> makeSimdWriter(CodeBuilder &code, const quant::Signature &signature,
                                             const quant::Layout &layout);

} // namespace kimic
