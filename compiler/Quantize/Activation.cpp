#include "compiler/Quantize/Activation.h"

#include "formats/fann/Evaluator.h"

#include <cmath>

namespace kimic::quantize {

double activate(Activation function, double t) {
  switch (function) {
  case Activation::Linear:
    return t;
  case Activation::LinearPieceRect:
    return t < 0 ? 0 : t;
  case Activation::LinearPieceRectLeaky:
    return t < 0 ? 0.01 * t : t;
  case Activation::Elliot:
    return t / 2 / (1 + std::fabs(t)) + 0.5;
  case Activation::ElliotSymmetric:
    return t / (1 + std::fabs(t));
  case Activation::SinSymmetric:
    return std::sin(t);
  case Activation::CosSymmetric:
    return std::cos(t);
  case Activation::Sin:
    return std::sin(t) / 2 + 0.5;
  case Activation::Cos:
    return std::cos(t) / 2 + 0.5;
  default:
    // Constant beyond +-150, so that FANN's clamp for steepness 1 changes nothing.
    return fann::activateFloat(function, 1, static_cast<float>(t));
  }
}

} // namespace kimic::quantize
