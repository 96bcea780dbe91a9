// The grid of product keys (pack-v1 §4): a network with an output for each row and each column scores every cell.
#pragma once

#include <cstdint>

namespace kimic {

/// The rows of a grid of so many cells: rows <= columns, rows + columns = outputs, rows * columns = cells. 0 if there
/// is no such grid.
constexpr std::uint32_t gridRows(std::uint64_t outputs, std::uint64_t cells) {
  for (std::uint32_t rows = 1; rows <= outputs / 2; ++rows)
    if (rows * (outputs - rows) == cells)
      return rows;
  return 0;
}

} // namespace kimic
