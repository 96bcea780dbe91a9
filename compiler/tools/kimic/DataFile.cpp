#include "compiler/tools/kimic/DataFile.h"

#include "compiler/tools/kimic/Command.h"
#include "compiler/tools/kimic/PackNames.h"
#include "formats/data/FannData.h"
#include "formats/data/Npy.h"

#include <fmt/format.h>

namespace kimic::tool {

DataFile readDataFile(const std::string &path, std::size_t inputs, std::size_t outputs, Console &console) {
  DataFile data;
  if (path.ends_with(".npy")) {
    data.inputs = take(readNpyFile(path));
  } else {
    FannData read = take(readFannDataFile(path));
    for (const std::string &warning : read.warnings)
      console.warning(path + ": " + warning);
    data.inputs = std::move(read.inputs);
    if (read.outputs.cols == outputs)
      data.targets = std::move(read.outputs);
    else if (read.outputs.cols != 0)
      console.warning(fmt::format("{}: targets are left out: found {} columns, expected {} outputs", path,
                                  read.outputs.cols, outputs));
  }
  if (data.inputs.cols != inputs)
    throw Failure(ExitCode::Failure, fmt::format("{}: counts do not agree: found {} input columns, expected {} inputs",
                                                 path, data.inputs.cols, inputs));
  if (data.inputs.rows == 0)
    throw Failure(ExitCode::Failure, path + ": there are no rows");
  return data;
}

Score scoreOf(const Matrix &outputs, const std::optional<Matrix> &targets) {
  if (!targets)
    return {};
  Score score;
  double sum = 0;
  for (std::size_t i = 0; i < outputs.values.size(); ++i) {
    double difference = static_cast<double>(outputs.values[i]) - targets->values[i];
    sum += difference * difference;
  }
  score.meanSquaredError = sum / static_cast<double>(outputs.values.size());
  if (outputs.cols > 1) {
    std::size_t right = 0;
    for (std::size_t r = 0; r < outputs.rows; ++r)
      right += argmax(outputs.row(r)) == argmax(targets->row(r));
    score.accuracy = static_cast<double>(right) / static_cast<double>(outputs.rows);
  }
  return score;
}

void addScore(Json &result, const Score &score) {
  if (score.meanSquaredError)
    result["mean_squared_error"] = *score.meanSquaredError;
  if (score.accuracy)
    result["accuracy"] = *score.accuracy;
}

void printScore(const Score &score, Console &console) {
  std::string text;
  if (score.accuracy)
    text += fmt::format("accuracy {:.2f} %, ", *score.accuracy * 100);
  if (score.meanSquaredError)
    console.note(text + fmt::format("mean squared error {:.6g}", *score.meanSquaredError));
}

std::string rowText(std::span<const float> row) {
  std::string out;
  for (float value : row)
    out += (out.empty() ? "" : " ") + shortest(value);
  return out;
}

} // namespace kimic::tool
