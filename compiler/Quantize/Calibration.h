// What the float network does on the calibration rows, and how much each of its values matters there.
#pragma once

#include "compiler/Quantize/Network.h"
#include "formats/data/Matrix.h"

#include <Eigen/Dense>

namespace kimic::quantize {

/// Everything is [rows][values], a column per value.
struct Calibration {
  Eigen::MatrixXd values; ///< of all values, inputs first
  Eigen::MatrixXd sums;   ///< weighted sums of the layers' outputs: column v belongs to value inputs + v
  /// Sum over the outputs of the squared derivative by a value, and by a weighted sum. Derivatives of activation
  /// functions are difference quotients over what 8-bit weights move a sum by, so that steps have one too.
  Eigen::MatrixXd valueSensitivity, sumSensitivity;
  double outputPower = 0; ///< sum of the squared outputs of all rows
};

/// REQUIRES: rows.cols == network.inputs, rows.rows >= 1.
/// With more than 8 outputs, the sensitivities are estimated from 8 random sums of them, always the same.
Calibration calibrate(const Network &network, const Matrix &rows);

} // namespace kimic::quantize
