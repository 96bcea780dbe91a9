// Reads NumPy's `.npy` files (versions 1 to 3) of numbers into a float32 matrix.
//
// Accepted: little-endian or byte-sized bool, int8..int64, uint8..uint64, float32 and float64; C and Fortran order; one
// dimension (n rows, 1 column) or two. Values must be finite and are rounded to float32. Pickled objects, structured
// and big-endian types are refused.
#pragma once

#include "formats/base/Diagnostic.h"
#include "formats/base/Result.h"
#include "formats/data/Matrix.h"

#include <string>
#include <string_view>

namespace kimic {

/// `fileName` only goes into errors. Memory stays proportional to the length of `bytes`.
Result<Matrix, Diagnostic> readNpy(std::string_view bytes, const std::string &fileName);

/// The same from a file of at most 1 GiB.
Result<Matrix, Diagnostic> readNpyFile(const std::string &path);

} // namespace kimic
