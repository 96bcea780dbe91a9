// What reports, logs and symbols call a kernel. Grammar: formats/spec/kernel-abi-v1.md, "Kernel names".
#pragma once

#include "formats/quant/Signature.h"

#include <optional>
#include <string>
#include <string_view>

namespace kimic::quant {

/// The name of a valid signature's kernel, of the characters [a-z0-9_-]: `w8a14_64-128-64-16_sigmoid_symmetric`, or,
/// for one that is irregular or whose name would be longer than 72 characters, `w8a14_10-x23-2_` and a hash of its
/// encoding. The first word is the weight format: w8a14, w16a14 (with residuals) or f32.
std::string kernelName(const Signature &signature);

/// The valid signature whose name is `name`; nothing if there is none or if the name ends with a hash.
std::optional<Signature> signatureNamed(std::string_view name);

} // namespace kimic::quant
