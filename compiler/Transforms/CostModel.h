// What kernels cost, for the choice of schedules: all of it is said here.
//
// The unit is the time in which a simd128 kernel takes one vector of weights, 8 outputs times 2 inputs, through its
// inner loop: 1.5 cycles. docs/rationale.md has the measurements that the constants are fitted to.
#pragma once

#include "formats/quant/Layout.h"

namespace kimic {

/// Whether the first layer should skip pairs of inputs whose codes are both 0, `activity` being the share of the pairs
/// that stay: a kernel of its own must save enough. REQUIRES: layout is that of a signature of int8 weights.
bool shouldSkipInputs(const quant::Layout &layout, double activity);

} // namespace kimic
