// Makes the hashes of a damaged pack right again, so that what lies behind them is reached: for bad packs described in
// text and for the fuzzer.
#pragma once

#include <cstdint>
#include <vector>

namespace kimic::test {

/// Which hashes to set, from the inside out.
struct RehashLevels {
  bool data = true;    ///< hashes of data blocks, in leaves that are stored and can be parsed
  bool blocks = true;  ///< hashes of leaves, branches, metadata, plan and kernel blocks, in the root and in branches
  bool root = true;    ///< hash of the root, in the header
  bool content = true; ///< content id, in the header, if nothing else is wrong
  bool header = true;  ///< hash of the header
};

/// Recomputes hashes over the extents that `file` itself states, as far as they lie in the file. Does nothing where
/// they do not.
void rehashPack(std::vector<std::uint8_t> &file, RehashLevels levels = {});

} // namespace kimic::test
