#include "formats/data/FannData.h"

#include "formats/base/File.h"
#include "formats/data/TextScanner.h"

namespace kimic {

namespace {

constexpr std::uint64_t kMaxFileBytes = 1ull << 30;

class DataReader {
public:
  DataReader(std::string_view text, const std::string &fileName)
      : fileName(fileName), text(withoutByteOrderMark(text)), scanner(this->text) {}

  Result<FannData, Diagnostic> read() {
    std::int64_t counts[3];
    const char *const names[3] = {"number of rows", "number of inputs", "number of outputs"};
    for (int i = 0; i < 3; ++i) {
      NumberStatus status = scanner.readInteger(counts[i]);
      if (status == NumberStatus::NotANumber)
        return fail(ErrorId::DataBadHeader, names[i], found(), "three counts: rows, inputs, outputs");
      bool isInRange = status == NumberStatus::Ok && counts[i] >= 0 && counts[i] <= INT32_MAX;
      if (!isInRange)
        return fail(ErrorId::DataBadHeader, names[i], status == NumberStatus::Ok ? std::to_string(counts[i]) : found(),
                    "0 to 2147483647");
      bool isFraction = !scanner.atEnd() && !isSpaceNext();
      if (isFraction)
        return fail(ErrorId::DataBadHeader, names[i], found(), "an integer");
    }
    auto [rows, inputs, outputs] = counts;
    if (inputs == 0)
      return fail(ErrorId::DataBadHeader, names[1], "0", "at least 1");

    // Every number takes at least two bytes of text, so what the header promises is checked before it is allocated.
    std::uint64_t rowSize = static_cast<std::uint64_t>(inputs) + static_cast<std::uint64_t>(outputs);
    std::uint64_t most = (scanner.rest().size() + 1) / 2;
    if (rows && rowSize > most / static_cast<std::uint64_t>(rows))
      return fail(ErrorId::DataTruncated, "", std::to_string(scanner.rest().size()) + " bytes after the header",
                  std::to_string(rows) + " rows of " + std::to_string(rowSize) + " numbers");

    FannData data;
    data.inputs = makeMatrix(rows, inputs);
    data.outputs = makeMatrix(rows, outputs);
    for (std::int64_t r = 0; r < rows; ++r) {
      KIMIC_TRY(readRow(r, "input", data.inputs.row(r)));
      KIMIC_TRY(readRow(r, "output", data.outputs.row(r)));
    }
    scanner.skipSpace();
    if (!scanner.atEnd())
      data.warnings.push_back("line " + std::to_string(lineAt(text, scanner.offset())) +
                              ": text after the last row is ignored: " + found());
    return data;
  }

private:
  const std::string &fileName;
  std::string_view text;
  TextScanner scanner;

  static Matrix makeMatrix(std::int64_t rows, std::int64_t cols) {
    Matrix matrix{static_cast<std::size_t>(rows), static_cast<std::size_t>(cols), {}};
    matrix.values.resize(matrix.rows * matrix.cols);
    return matrix;
  }

  bool isSpaceNext() const {
    char c = scanner.rest().front();
    return c == ' ' || (c >= '\t' && c <= '\r');
  }

  std::string found() const { return excerpt(scanner.rest()); }

  Diagnostic fail(ErrorId id, std::string key, std::string foundText, std::string expected) const {
    return Diagnostic{
        id, fileName, lineAt(text, scanner.offset()), std::move(key), std::move(foundText), std::move(expected)};
  }

  Result<void, Diagnostic> readRow(std::int64_t row, const char *side, std::span<float> values) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      NumberStatus status = scanner.readFloat(values[i]);
      bool isWholeWord = scanner.atEnd() || isSpaceNext();
      if (status == NumberStatus::Ok && isWholeWord)
        continue;
      std::string key = "row " + std::to_string(row) + " " + side + " " + std::to_string(i);
      if (status == NumberStatus::NotFinite)
        return fail(ErrorId::DataNotFinite, key, found(), "a finite number");
      scanner.skipSpace();
      if (scanner.atEnd())
        return fail(ErrorId::DataTruncated, key, "end of text", "a number");
      return fail(ErrorId::DataBadNumber, key, found(), "a number");
    }
    return {};
  }
};

} // namespace

Result<FannData, Diagnostic> readFannData(std::string_view text, const std::string &fileName) {
  return DataReader(text, fileName).read();
}

Result<FannData, Diagnostic> readFannDataFile(const std::string &path) {
  KIMIC_ASSIGN(std::string text, readFile(path, kMaxFileBytes));
  return readFannData(text, path);
}

} // namespace kimic
