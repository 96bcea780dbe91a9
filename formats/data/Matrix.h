// A dense row-major float32 matrix: one row per sample.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace kimic {

struct Matrix {
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::vector<float> values; ///< rows * cols, row-major

  std::span<float> row(std::size_t r) { return std::span(values).subspan(r * cols, cols); }
  std::span<const float> row(std::size_t r) const { return std::span(values).subspan(r * cols, cols); }
  friend bool operator==(const Matrix &, const Matrix &) = default;
};

} // namespace kimic
