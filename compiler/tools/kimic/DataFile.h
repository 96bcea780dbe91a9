// The rows that `run` and `eval` work on, and how good the answers are.
#pragma once

#include "compiler/tools/kimic/Console.h"
#include "compiler/tools/kimic/JsonText.h"
#include "formats/data/Matrix.h"

#include <optional>
#include <string>

namespace kimic::tool {

struct DataFile {
  Matrix inputs;
  std::optional<Matrix> targets; ///< of FANN data whose output columns are those of the expert
};

/// Reads FANN data, or `.npy` inputs. A Failure if there are no rows or the columns are not `inputs`; a warning if the
/// target columns are not `outputs` (they are then left out).
DataFile readDataFile(const std::string &path, std::size_t inputs, std::size_t outputs, Console &console);

struct Score {
  std::optional<double> meanSquaredError; ///< over all outputs of all rows
  std::optional<double> accuracy;         ///< fraction of rows whose strongest output is the target's; two outputs up
};

Score scoreOf(const Matrix &outputs, const std::optional<Matrix> &targets);
void addScore(Json &result, const Score &score);
/// One line on stderr: it is not part of the rows.
void printScore(const Score &score, Console &console);

/// Numbers separated by blanks, each the shortest that reads back as the same float32.
std::string rowText(std::span<const float> row);

} // namespace kimic::tool
