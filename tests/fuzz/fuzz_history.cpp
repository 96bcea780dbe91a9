// Histories from outside: refused with what was known left alone, or taken over so that an export gives the same bytes.
//
// Input: a history without its hash, which is appended here, so that what is behind the hash is reached.
#include "runtime/history/History.h"
#include "tests/fuzz/Require.h"

#include <algorithm>
#include <vector>

using namespace kimic;
using namespace kimic::runtime;
using kimic::test::require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  const Digest pack = {1, 2, 3};
  History history;
  history.observe(5, true, 10, 0.5f);
  std::vector<std::uint8_t> bytes(data, data + size), before(history.exportBytes());
  history.exportTo(before.data(), pack);
  const Digest digest = sha256(bytes);
  bytes.insert(bytes.end(), digest.begin(), digest.end());
  const bool isTaken = history.import(bytes, digest, pack, 100) == Error{};
  std::vector<std::uint8_t> after(history.exportBytes());
  history.exportTo(after.data(), pack);
  if (isTaken) // but for the hash, which is not its work
    std::copy(digest.begin(), digest.end(), after.end() - 32);
  require(isTaken ? after == bytes : after == before);
  history.observe(6, false, 1, 1);
  return 0;
}
