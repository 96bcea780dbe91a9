// The activation functions in real numbers.
#pragma once

#include "formats/base/Activation.h"

namespace kimic::quantize {

/// The activation function of t (the stepwise ones: libfann's knots).
double activate(Activation function, double t);

} // namespace kimic::quantize
