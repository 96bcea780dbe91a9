// Packs as text that people write and read, for golden files and `kimic inspect`. Native only.
//
// One thing a line; a line that starts with a space continues the one before; `#` starts a line of comment. Bytes are
// hexadecimal pairs separated by spaces, `00*48` repeats a byte.
//
//   meta {"name":"two"}
//   group 64
//   kernel 2 | 0 sigmoid_symmetric*3:clamped | 2 linear*1 | affine
//   module simd128 00 61 73 6d ...
//   expert kernel=0 domain=Mathematics threshold=0.5 flags=0 next=1:200,2:30
//     00 00 80 3f ...
//   features 6
//   expert kernel=1 reads=request:0+2,0:1+1
//   router routed=2 head=softmax strategy=top-k merge=weighted top-k=2 temperature=1
//
// A kernel is its signature: inputs, then per layer the first code read and the groups of outputs, then words:
// `residual` or `float32` weights, `sparse` inputs, `affine` if outputs are scaled, the head `softmax` or `argmax`.
// Kernels, experts and the modules of a variant are numbered as they come; `group` is the number of kernels in a group,
// `features` that of numbers in a request, of which `reads` names FIRST+COUNT, as of an expert's outputs. Several
// `meta` lines are lines of one JSON text. A number in place of a word of the router, or of a domain, stands for
// itself, so that text can describe what no reader accepts.
#pragma once

#include "formats/base/Diagnostic.h"
#include "formats/pack/PackWriter.h"

#include <span>
#include <string>
#include <string_view>

namespace kimic::pack {

/// The text of `contents`; parseContents() reads it back to equal contents. REQUIRES: signatures that decode.
std::string printContents(const PackContents &contents);

/// Reads what printContents() wrote. PackTextSyntax with the line, what was found and what was expected.
Result<PackContents, Diagnostic> parseContents(std::string_view text, const std::string &fileName);

/// Byte map of a pack's header, root and leaves: a line for every block with offset, stored and raw length, codec, the
/// first 16 digits of the hash, and what it is. Errors as verifyPack, which it calls.
Result<std::string> printLayout(std::span<const std::uint8_t> file);

} // namespace kimic::pack
