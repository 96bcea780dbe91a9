// Integer weights for one row: the search over scales and roundings.
//
// For a row with real weights w, inputs x[r] (codes less their zero points) and wanted sums z[r], the search looks for
// integers q, a scale s and a bias b so that f(base + s q x + b) is near to f(z) on the rows that matter.
#pragma once

#include "compiler/Quantize/Quantize.h"

#include <Eigen/Dense>

namespace kimic::quantize {

/// Second moments of inputs under a weight per row: what rounding errors of weights do to a sum is a quadratic form.
class Moments {
public:
  /// REQUIRES: weights are >= 0 and not all zero. With `isCentred` the bias is free to follow the weights. Inputs whose
  /// correlation rests on few rows, of which only `distinctRows` are no mixtures of others, count as less correlated.
  Moments(const Eigen::MatrixXd &inputs, const Eigen::VectorXd &rowWeights, bool isCentred, std::size_t distinctRows);

  /// w + the change that brings inputs * w nearest to `sums`, held back where the rows say little.
  Eigen::VectorXd fit(const Eigen::VectorXd &weights, const Eigen::VectorXd &sums) const;
  /// Column c: integers in [-127, 127] near weights / scales[c], each rounded so as to undo the errors of those before.
  Eigen::MatrixXd roundSequentially(const Eigen::VectorXd &weights, const Eigen::VectorXd &scales) const;
  /// Moves single integers by one as long as that lowers the quadratic form.
  void descend(const Eigen::VectorXd &weights, double scale, Eigen::VectorXd &integers) const;
  /// The quadratic form of weights - scale * integers.
  double errorOf(const Eigen::VectorXd &weights, double scale, const Eigen::VectorXd &integers) const;
  /// Weighted mean over the rows of something that has one value per row.
  double mean(const Eigen::VectorXd &rows) const { return rows.dot(rowWeights); }
  double weightOf(Eigen::Index row) const { return rowWeights[row]; }

private:
  const Eigen::MatrixXd &inputs;
  Eigen::VectorXd rowWeights; ///< sum 1
  Eigen::VectorXd centre;
  bool isCentred;
  Eigen::MatrixXd moments; ///< with damping
  Eigen::MatrixXd undamped;
  Eigen::VectorXi order; ///< of roundSequentially: the last is rounded first
  Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> feedback;
};

struct RowProblem {
  const Eigen::MatrixXd &inputs; ///< [rows][fanIn]
  Eigen::VectorXd weights;       ///< [fanIn], per unit of the inputs
  double bias = 0;
  Eigen::VectorXd base;        ///< [rows] added to the sums; empty: 0
  Eigen::VectorXd sums;        ///< [rows], wanted, before the limit
  Eigen::VectorXd valueWeight; ///< [rows]: what a squared error of the value costs
  Activation function;
  double limit;
  double minScale; ///< > 0
  bool mayClip;    ///< scales below the one of the largest weight
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
