// What the expert dialect's layers compute, in float64: for constants and for calibration.
#pragma once

#include "compiler/Dialect/Expert/Layers.h"

#include <span>
#include <vector>

namespace kimic::expert {

/// The activation function of t, in real numbers (the stepwise ones: libfann's knots).
double activate(Activation function, double t);

/// Values of a network on one row: `values` are the inputs (scaled) and the outputs of all layers, `sums` the weighted
/// sums, numbered alike (those of inputs are 0). Without the output affine. REQUIRES: row.size() == layers.inputs.
void evaluate(const Layers &layers, std::span<const float> row, std::vector<double> &values, std::vector<double> &sums);

} // namespace kimic::expert
