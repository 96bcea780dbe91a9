// Reads FANN's training data: `rows inputs outputs`, then per row its inputs and its outputs, separated by white space.
//
// As FANN reads it: line structure does not matter, and text after the last number is ignored (with a warning). A comma
// between digits is a decimal point (FANN writes one under such locales), CR LF and a byte order mark are accepted.
#pragma once

#include "formats/base/Diagnostic.h"
#include "formats/base/Result.h"
#include "formats/data/Matrix.h"

#include <string>
#include <string_view>
#include <vector>

namespace kimic {

struct FannData {
  Matrix inputs;
  Matrix outputs; ///< as many rows as inputs
  std::vector<std::string> warnings;
};

/// Numbers must be finite. `fileName` only goes into errors. Memory stays proportional to the text's length.
Result<FannData, Diagnostic> readFannData(std::string_view text, const std::string &fileName);

/// The same from a file of at most 1 GiB.
Result<FannData, Diagnostic> readFannDataFile(const std::string &path);

} // namespace kimic
