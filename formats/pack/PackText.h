// Packs as text that people write and read, for golden files and `kimic inspect`. Native only.
//
// Line oriented; `#` starts a comment. Bytes are hexadecimal pairs separated by spaces, `00*48` repeats a byte.
//
//   meta {"name":"two"}
//   kernel 2 | 0 sigmoid_symmetric*3 | 2 linear*1        inputs | readBegin groups | ...; a final "affine" may follow
//   module simd128 0  00 61 73 6d ...                    variant, group, bytes
//   expert kernel=0 domain=Mathematics threshold=0.5  00 00 80 3f ...
//   router expert=2 routed=2 head=softmax strategy=top-k merge=weighted top-k=2 temperature=1
#pragma once

#include "formats/base/Diagnostic.h"
#include "formats/pack/PackWriter.h"

#include <string>
#include <string_view>

namespace kimic::pack {

/// The text of `contents`; parseContents() reads it back to equal contents. REQUIRES: signatures that decode.
std::string printContents(const PackContents &contents);

/// Reads what printContents() wrote. PackTextSyntax with the line, what was found and what was expected.
Result<PackContents, Diagnostic> parseContents(std::string_view text, const std::string &fileName);

/// Byte map of a valid pack: one line per block with offset, stored and raw length, codec and hash, in file order.
Result<std::string> printLayout(std::span<const std::uint8_t> file);

} // namespace kimic::pack
