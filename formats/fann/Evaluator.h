// What a network computes, exactly as its own library computes it.
//
//  * FannFloat agrees with libfann 2.2.0's fann_run bit for bit (activations 18 and 19, which 2.2.0 lacks: with its
//    master), on x86-64 with the same C library: exp, sin and cos are the platform's.
//  * FannFixed agrees with libfixedfann 2.2.0 exactly.
//  * RuvFann follows ruv-FANN's per-neuron path in float32.
// All functions are pure: one Network may be evaluated by many threads.
#pragma once

#include "formats/data/Matrix.h"
#include "formats/fann/Network.h"

#include <cstdint>
#include <span>

namespace kimic::fann {

struct EvaluateOptions {
  /// Applies the network's scaling parameters to inputs and outputs, as fann_scale_input and fann_descale_output do
  /// (an element with deviation 0 is left as it is, as in libfann's master; so is an output with factor 0). Without
  /// effect if the network has none.
  bool applyScaling = false;
};

/// Outputs (rows x numOutputs) for `inputs` (rows x numInputs). REQUIRES: inputs.cols == network.numInputs.
/// FannFixed networks take and give real numbers here: inputs become (int)(x * 2^decimalPoint), as FANN converts data,
/// saturated to int32.
Matrix evaluate(const Network &network, const Matrix &inputs, EvaluateOptions options = {});

/// One row: `values` receives the value of every neuron, inputs and constants included (what calibration looks at),
/// `sums`, unless empty, the plain weighted sum of every Computed neuron before steepness and clamp.
/// REQUIRES: input.size() == numInputs, values.size() == neurons.size(), sums.size() == 0 or neurons.size(),
/// semantics != FannFixed.
void evaluateNeurons(const Network &network, std::span<const float> input, std::span<float> values,
                     std::span<float> sums = {});

/// One row of a FannFixed network in its own integers (value * 2^decimalPoint).
/// REQUIRES: input.size() == numInputs, output.size() == numOutputs, semantics == FannFixed.
void evaluateFixed(const Network &network, std::span<const std::int32_t> input, std::span<std::int32_t> output);

/// fann_scale_input and fann_descale_output in libfann's float arithmetic, in place.
/// REQUIRES: row.size() == scaling.mean.size().
void scaleInput(const Scaling &scaling, std::span<float> row);
void descaleOutput(const Scaling &scaling, std::span<float> row);

/// y = activation(sum) of one neuron as libfann 2.2.0 computes it in float: steepness, clamp, function.
/// REQUIRES: steepness >= 0.
float activateFloat(Activation activation, float steepness, float sum);

} // namespace kimic::fann
