// What a kernel is to C++.
#pragma once

#include <cstdint>

namespace kimic::runtime {

/// A kernel in the function table, formats/spec/kernel-abi-v1.md: parameters, x, y, scratch, rows.
using KernelFunction = void (*)(const std::uint8_t *, const float *, float *, std::uint8_t *, std::uint32_t);

} // namespace kimic::runtime
