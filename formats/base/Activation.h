// The twenty activation functions of FANN, with FANN's own numbers.
#pragma once

#include <cstdint>

namespace kimic {

/// `t` is steepness times the weighted sum, clamped to +-150/steepness; the numbers are those of FANN's `.net` files
/// and are also what packs store. Reference: FANN's fann_activationfunc_enum (2.2.0; 18 and 19 since its 2024 master).
enum class Activation : std::uint8_t {
  Linear = 0,                   ///< t
  Threshold = 1,                ///< t < 0 ? 0 : 1
  ThresholdSymmetric = 2,       ///< t < 0 ? -1 : 1
  Sigmoid = 3,                  ///< 1 / (1 + exp(-2t))
  SigmoidStepwise = 4,          ///< piecewise linear approximation of Sigmoid
  SigmoidSymmetric = 5,         ///< tanh(t)
  SigmoidSymmetricStepwise = 6, ///< piecewise linear approximation of SigmoidSymmetric
  Gaussian = 7,                 ///< exp(-t^2)
  GaussianSymmetric = 8,        ///< 2 exp(-t^2) - 1
  GaussianStepwise = 9,         ///< FANN never implemented it: 0
  Elliot = 10,                  ///< t / 2 / (1 + |t|) + 0.5
  ElliotSymmetric = 11,         ///< t / (1 + |t|)
  LinearPiece = 12,             ///< min(1, max(0, t))
  LinearPieceSymmetric = 13,    ///< min(1, max(-1, t))
  SinSymmetric = 14,            ///< sin(t)
  CosSymmetric = 15,            ///< cos(t)
  Sin = 16,                     ///< sin(t) / 2 + 0.5
  Cos = 17,                     ///< cos(t) / 2 + 0.5
  LinearPieceRect = 18,         ///< t < 0 ? 0 : t (ReLU)
  LinearPieceRectLeaky = 19,    ///< t < 0 ? 0.01 t : t
};

inline constexpr unsigned kActivationCount = 20;

/// FANN's name in lower case without its prefix: "sigmoid_symmetric". These words stand in IR, reports and kernel
/// names.
constexpr const char *nameOf(Activation function) {
  constexpr const char *kNames[kActivationCount] = {"linear",
                                                    "threshold",
                                                    "threshold_symmetric",
                                                    "sigmoid",
                                                    "sigmoid_stepwise",
                                                    "sigmoid_symmetric",
                                                    "sigmoid_symmetric_stepwise",
                                                    "gaussian",
                                                    "gaussian_symmetric",
                                                    "gaussian_stepwise",
                                                    "elliot",
                                                    "elliot_symmetric",
                                                    "linear_piece",
                                                    "linear_piece_symmetric",
                                                    "sin_symmetric",
                                                    "cos_symmetric",
                                                    "sin",
                                                    "cos",
                                                    "linear_piece_rect",
                                                    "linear_piece_rect_leaky"};
  return kNames[static_cast<unsigned>(function)];
}

} // namespace kimic
