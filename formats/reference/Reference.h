// The truth: what every kernel of a signature must compute, to the last bit, in plain scalar C++.
//
// Specification: formats/spec/quantization-v1.md. It reads the packed parameter block, so it also tests the packing.
// The runtime runs it where an engine refuses to compile kernels.
#pragma once

#include "formats/quant/Layout.h"

namespace kimic::reference {

/// Runs an expert: y[rows][outputs] from x[rows][inputs]. Reads a parameter block at `params` and uses
/// layout.scratchBytes bytes at `scratch`, both aligned to 16, and allocates nothing. Any numbers in the block are
/// safe: they decide the outputs only. Thread-safe for distinct `y` and `scratch`. REQUIRES: layout ==
/// layoutOf(signature); residual rows, if the signature has them, satisfy quant::validateParameters.
void run(const quant::Signature &signature, const quant::Layout &layout, const std::uint8_t *params, const float *x,
         float *y, std::uint8_t *scratch, std::uint32_t rows);

} // namespace kimic::reference
