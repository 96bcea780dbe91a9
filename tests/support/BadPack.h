// Bad packs as text: a good pack, what is done to it, and the exact error that a verifier must give.
//
//   base routed                 tests/golden/good/routed.txt
//   set header.experts 5        a field by name; 0x for hexadecimal
//   parameters 0+16 ff          raw parameters of an expert; all of the lines before it are forgotten
//   patch leaf+3 ff 00*2        bytes at an offset in a block
//   insert data0 00*64          bytes before it; names keep their old places
//   remove leaf+89 1            so many bytes, names keep their old places
//   plan 5 17                   a number of the plan, which is then stored as it is
//   append 00                   bytes at the end of the file
//   truncate 100                to that length
//   rehash                      all hashes right again; or only the levels named: data blocks root content header
//   expect PackSectionLength 1 2 3
//
// Fields: header.<field of pack-v1 §3>, router.<field>, and .stored .raw .codec .reserved .sha256 of the rows
// signatures, simd128, router_data, leaf, scalar, meta, plan. Blocks: header, slots (of signatures), root, those rows'
// names, and data0, data1, ... in file order. Lines are applied in order; `rehash` uses the extents that the file states
// by then.
#pragma once

#include "formats/base/Error.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kimic::test {

struct BadPack {
  std::vector<std::uint8_t> file;
  Error expected;
};

/// Reads one file of tests/golden/bad; `golden` is the folder tests/golden. On a mistake in the text, nothing, with a
/// sentence in `problem`.
std::optional<BadPack> readBadPack(const std::string &golden, std::string_view text, std::string &problem);

/// The bytes of tests/golden/good/<name>.txt. Nothing, with a sentence in `problem`, if it does not build.
std::optional<std::vector<std::uint8_t>> readGoodPack(const std::string &golden, const std::string &name,
                                                      std::string &problem);

} // namespace kimic::test
