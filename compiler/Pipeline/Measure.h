// How well a compiled expert reproduces its float original.
#pragma once

#include "compiler/Pipeline/Pipeline.h"

#include <optional>

namespace kimic {

/// What an expert and a router are measured as.
struct MeasureOptions {
  bool applyScaling = true;
  manifest::Task task = manifest::Task::Unstated;
  bool hasLabels = false;
  Head head = {};
  /// A router's: the topK best of the `routed` experts answer, scores are those of its head. 0: not a router.
  std::uint32_t topK = 0;
  manifest::RouterHead routerHead = manifest::RouterHead::Softmax;
  float routerTemperature = 1;
  std::vector<float> routerBias; ///< added to the scores when experts are chosen; may be empty
  std::size_t routed = 0;
};

/// Rows, and everything about them that does not depend on how the expert was compiled.
struct Yardstick {
  MeasureOptions options;
  MeasuredOn measuredOn = MeasuredOn::TestData;
  Matrix inputs;                 ///< raw, as users give them
  Matrix expected;               ///< the float original's outputs, after the head; for an argmax head before it
  std::optional<Matrix> targets; ///< as many rows as inputs, a column for each output of the network
  bool isClassifier = false;
  /// One output: the class is 1 from here on.
  float outputThreshold = 0.5f, targetThreshold = 0.5f;
};

/// Evaluates the float original. REQUIRES: inputs.cols == network.numInputs; targets as in Yardstick.
Yardstick makeYardstick(const fann::Network &network, Matrix inputs, std::optional<Matrix> targets,
                        MeasuredOn measuredOn, const MeasureOptions &options);

/// Outputs of the compiled expert, by the reference evaluator on its packed bytes: what every kernel computes.
/// REQUIRES: quant::validateParameters accepts `parameters`, inputs.cols == signature.inputs.
Matrix runCompiled(const quant::Signature &signature, std::span<const std::uint8_t> parameters, const Matrix &inputs);

/// All of a Measurement but the bootstrap.
Measurement measure(const CompiledExpert &expert, const Yardstick &yardstick);

/// What a report says beside the measurement: layers, the interval of the change of accuracy, scatter and reliability.
/// REQUIRES: expert.layers.
void measureInDetail(const CompiledExpert &expert, const Yardstick &yardstick, ExpertReport &report);

/// Rows of weights with a second plane.
std::uint32_t residualRows(const CompiledExpert &expert);

/// The paired bootstrap's 95 % interval of the mean of a sample of `plus` ones, `minus` minus-ones and otherwise zeros:
/// 1,000 resamples, always the same ones. REQUIRES: plus + minus <= count, count >= 1.
ConfidenceInterval bootstrapMean(std::size_t count, std::size_t plus, std::size_t minus);

} // namespace kimic
