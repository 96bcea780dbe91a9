// Integer weights for one row: the search over scales and roundings.
//
// For a row with real weights w, inputs x[r] (codes less their zero points) and wanted sums z[r], the search looks for
// integers q, a scale s and a bias b so that f(s q x + b) is near to f(z) on the rows that matter.
#pragma once

#include "compiler/Quantize/Quantize.h"

#include <Eigen/Dense>

namespace kimic::quantize {

/// What a layer reads on the calibration rows.
struct LayerInputs {
  explicit LayerInputs(Eigen::MatrixXd values);

  Eigen::MatrixXd values;  ///< [rows][fanIn]: codes less their zero points
  Eigen::RowVectorXd mean; ///< of the columns
  /// values - mean, in single precision: all rows, and every step-th. Rows of zeros make their number a multiple of 4.
  Eigen::MatrixXf centred, thinned;
  Eigen::Index step = 1;
};

/// Second moments of inputs under a weight per row: what rounding errors of weights do to a sum is a quadratic form.
class Moments {
public:
  /// REQUIRES: weights are >= 0 and not all zero. With `isCentred` the bias is free to follow the weights. Inputs whose
  /// correlation rests on few rows, of which only `distinctRows` are no mixtures of others, count as less correlated.
  Moments(const LayerInputs &inputs, const Eigen::VectorXd &rowWeights, bool isCentred, std::size_t distinctRows);

  /// The change of weights that makes up best for sums that are too small by `missing`, held back where the rows say
  /// little.
  Eigen::VectorXd fit(const Eigen::VectorXd &missing) const;
  /// Column c: integers in [-most, most] near weights / scales[c], each rounded so as to undo the errors of those
  /// before.
  Eigen::MatrixXd roundSequentially(const Eigen::VectorXd &weights, const Eigen::VectorXd &scales, double most) const;
  /// Moves single integers by one as long as that lowers the quadratic form.
  void descend(const Eigen::VectorXd &weights, double scale, double most, Eigen::Ref<Eigen::VectorXd> integers) const;
  /// By row, sum 1.
  const Eigen::VectorXd &weights() const { return rowWeights; }

private:
  const Eigen::MatrixXd &inputs;
  Eigen::VectorXd rowWeights; ///< sum 1
  Eigen::VectorXd centre;
  bool isCentred;
  Eigen::MatrixXd moments;               ///< with damping
  Eigen::LLT<Eigen::MatrixXd> fitFactor; ///< with more of it
  Eigen::VectorXi order;                 ///< of roundSequentially: the last is rounded first
  Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> feedback;
};

struct RowProblem {
  const LayerInputs &inputs;
  Eigen::VectorXd weights; ///< [fanIn], per unit of the inputs
  double bias = 0;
  Eigen::VectorXd sums;        ///< [rows], wanted, before the limit
  Eigen::VectorXd missing;     ///< [rows]: sums less what the weights and the bias give
  Eigen::VectorXd valueWeight; ///< [rows]: what a squared error of the value costs
  Activation function;
  double limit;
  double minScale; ///< > 0
  double most;     ///< largest magnitude of an integer
};

struct RowSolution {
  Eigen::VectorXd integers; ///< [fanIn]
  double scale = 1;
  double bias = 0;
  double error = 0; ///< weighted mean squared error of the value
};

/// Rounding to nearest at the scale of the largest weight, and if `options` ask for more, the best of many candidates:
/// never one that is worse on the rows. `moments` are of the problem's inputs; null: none are used.
RowSolution solveRow(const RowProblem &problem, const Moments *moments, const Options &options);

} // namespace kimic::quantize
