// Reads NumPy's `.npy` files (versions 1 to 3) of numbers into a float32 matrix.
//
// Accepted: little-endian or byte-sized bool, int8..int64, uint8..uint64, float32 and float64; C and Fortran order; one
// dimension (n rows, 1 column) or two. Values must be finite and are rounded to float32. Pickled objects, structured
// and big-endian types are refused.
#pragma once

#include "formats/base/Diagnostic.h"
#include "formats/base/Result.h"
#include "formats/data/Matrix.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace kimic {

/// `fileName` only goes into errors. Memory stays proportional to the length of `bytes`.
Result<Matrix, Diagnostic> readNpy(std::string_view bytes, const std::string &fileName);

/// The same from a file of at most 1 GiB.
Result<Matrix, Diagnostic> readNpyFile(const std::string &path);

/// Reads a `.npy` file of any size row by row, in C order (one column may be in either).
class NpyRows {
public:
  NpyRows(NpyRows &&) noexcept;
  NpyRows &operator=(NpyRows &&) noexcept;
  ~NpyRows();

  static Result<NpyRows, Diagnostic> open(const std::string &path);

  std::uint64_t rows() const;
  std::uint64_t cols() const;
  bool isInteger() const;

  /// The next row. Values must be finite. REQUIRES: fewer than rows() calls before.
  Result<void, Diagnostic> next(std::vector<double> &row);

private:
  struct State;
  explicit NpyRows(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

} // namespace kimic
