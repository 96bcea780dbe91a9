// Writes the body of one kernel: what the scalar and the simd128 variant have in common, the order of things.
#pragma once

#include "compiler/Conversion/CodeBuilder.h"

#include <memory>

namespace kimic {

/// Works on one row at a time.
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

  /// From x to codes, or to f32 values.
  virtual void readInputs(Value x) = 0;
  /// The layer's sums, to the accumulators in scratch, and its residuals; `codes` is the first code that it reads.
  virtual void accumulate(const quant::LayerLayout &layer, Value codes) = 0;
  /// From the accumulators to codes, f32 values or logits.
  virtual void activate(const Run &run, Value y) = 0;
  virtual void writeSoftmax(Value y) = 0;

  bool isFloat() const { return signature.weights() == quant::WeightFormat::Float32; }
  bool hasResiduals() const { return signature.weights() == quant::WeightFormat::Int8Residual; }
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
    auto v = isFloat() ? quant::evaluatePrecise(ops, run.group.function, t)
                       : quant::evaluateOutput(ops, run.group.function, t);
    if (run.isLast && signature.outputAffine)
      v = ops.add(ops.mul(v, array(layout.outputGainOffset)), array(layout.outputOffsetOffset));
    return v;
  }

  /// Runs `body` for the layer's residual rows, `step` (a power of two) at a time as long as there are so many, from
  /// where the last call left off: the last call for a layer has a step of 1. It gets the address of the first row.
  void forResidualRows(const quant::LayerLayout &layer, std::uint32_t step, llvm::function_ref<void(Value row)> body);
  /// Where in scratch the residual of a residual row's output lies, less layout.residualsOffset.
  Value residualTarget(Value row, std::uint32_t offset = 0);

  CodeBuilder &code;
  const quant::Signature &signature;
  const quant::Layout &layout;
  Value params, scratch;

private:
  void writeRow(Value x, Value y);
  void writeArgmax(Value y);

  Value residualRow;   ///< the next one of all
  Value residualBegin; ///< the layer's first one
};

std::unique_ptr<KernelWriter> makeScalarWriter(CodeBuilder &code, const quant::Signature &signature,
                                               const quant::Layout &layout);
std::unique_ptr<KernelWriter> makeSimdWriter(CodeBuilder &code, const quant::Signature &signature,
                                             const quant::Layout &layout);

} // namespace kimic
