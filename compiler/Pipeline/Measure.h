// How well a compiled expert reproduces its float original.
#pragma once

#include "compiler/Pipeline/Pipeline.h"

namespace kimic {

/// What the measurement needs of an expert set's entry.
struct MeasureInput {
  const fann::Network &network;
  const Matrix &inputs;  ///< raw, as users give them
  const Matrix *targets; ///< null: none; as many rows as inputs
  manifest::Task task;
  bool hasLabels;
  bool applyScaling;
};

/// Outputs of the compiled expert, by the reference evaluator on its packed bytes: what every kernel computes.
/// REQUIRES: parameters.size() == layoutOf(signature)->parameterBytes, inputs.cols == signature.inputs.
Matrix runCompiled(const quant::Signature &signature, std::span<const std::uint8_t> parameters, const Matrix &inputs);

/// Fills rows, errors, sqnrDb, agreement, accuracies and mean squared errors of `report`.
void measure(const CompiledExpert &expert, const MeasureInput &input, ExpertReport &report);

} // namespace kimic
