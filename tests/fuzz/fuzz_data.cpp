// Readers of training data and arrays: whatever the bytes, no crash; what is accepted has the size that it says.
#include "formats/data/FannData.h"
#include "formats/data/Npy.h"
#include "tests/fuzz/Require.h"

using namespace kimic;
using kimic::test::require;

static void checkMatrix(const Matrix &matrix) { require(matrix.values.size() == matrix.rows * matrix.cols); }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  std::string_view bytes(reinterpret_cast<const char *>(data), size);
  if (auto read = readFannData(bytes, "fuzz"); read.ok()) {
    checkMatrix(read->inputs);
    checkMatrix(read->outputs);
    require(read->inputs.rows == read->outputs.rows);
  } else {
    require(!read.error().message().empty());
  }
  if (auto read = readNpy(bytes, "fuzz"); read.ok())
    checkMatrix(*read);
  else
    require(!read.error().message().empty());
  return 0;
}
