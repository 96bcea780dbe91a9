// What is known about each activation function before any number: the kind of its codes and its constants.
//
// Specification: formats/spec/quantization-v1.md, "Codes" and "Constants". The constants travel in every parameter
// block (Layout::constants) and kernels load them from there; the values here are what a compiler writes.
#pragma once

#include "formats/base/Activation.h"
#include "formats/quant/Layout.h"

#include <optional>
#include <span>

namespace kimic::quant {

/// How the i16 codes of a hidden layer's outputs stand for real values: value = (code - zeroPoint) * scale.
enum class CodeKind : std::uint8_t {
  Symmetric, ///< range [-1, 1]: scale 2^-13, zero point 0
  Unit,      ///< range [0, 1]: scale 2^-14, zero point -8192
  Unbounded, ///< scale chosen per layer and folded into multiplier and limit; zero point 0
};

inline constexpr std::int32_t kCodeLimit = 8192; ///< largest |code| of a Symmetric or Unit function

constexpr CodeKind codeKindOf(Activation function) {
  switch (function) {
  case Activation::Linear:
  case Activation::LinearPieceRect:
  case Activation::LinearPieceRectLeaky:
    return CodeKind::Unbounded;
  case Activation::Threshold:
  case Activation::Sigmoid:
  case Activation::SigmoidStepwise:
  case Activation::Gaussian:
  case Activation::Elliot:
  case Activation::LinearPiece:
  case Activation::Sin:
  case Activation::Cos:
    return CodeKind::Unit;
  default:
    return CodeKind::Symmetric;
  }
}

/// Real value of one code step; 0 for Unbounded, whose scale is the compiler's choice.
constexpr float codeScaleOf(CodeKind kind) {
  return kind == CodeKind::Symmetric ? 0x1p-13f : kind == CodeKind::Unit ? 0x1p-14f : 0.0f;
}

/// The code of the real value 0.
constexpr std::int32_t zeroPointOf(CodeKind kind) { return kind == CodeKind::Unit ? -kCodeLimit : 0; }

/// The table that `function` reads, if any, in an expert of these weights.
constexpr std::optional<ConstantTable> constantTableOf(Activation function, WeightFormat weights = WeightFormat::Int8) {
  bool isPrecise = weights == WeightFormat::Float32;
  switch (function) {
  case Activation::Sigmoid:
  case Activation::SigmoidSymmetric:
    return isPrecise ? ConstantTable::PreciseExp : ConstantTable::Tanh;
  case Activation::Gaussian:
  case Activation::GaussianSymmetric:
    return isPrecise ? ConstantTable::PreciseExp : ConstantTable::Exp;
  case Activation::SinSymmetric:
  case Activation::CosSymmetric:
  case Activation::Sin:
  case Activation::Cos:
    return isPrecise ? ConstantTable::PreciseSine : ConstantTable::Sine;
  case Activation::SigmoidStepwise:
    return ConstantTable::Stepwise;
  case Activation::SigmoidSymmetricStepwise:
    return ConstantTable::StepwiseSymmetric;
  case Activation::LinearPieceRectLeaky:
    return ConstantTable::Leaky;
  default:
    return std::nullopt;
  }
}

/// The values of `table`, in the order of the index enumerations below.
std::span<const float> constantsOf(ConstantTable table);

namespace tanh_constant {
/// P8192_i = 8192 * P_i: numerators of codes; P_i: numerators of f32 outputs.
enum Index : std::uint8_t { Low, High, P8192_2, P8192_1, P8192_0, P2, P1, P0, Q2, Q1, Q0, Count };
} // namespace tanh_constant

namespace exp_constant {
enum Index : std::uint8_t { MinusLog2E, MinExponent, C4, C3, C2, C1, Count };
} // namespace exp_constant

namespace sine_constant {
/// PiA + PiB = pi; PiA has 8 significant bits.
enum Index : std::uint8_t { Low, High, InversePi, PiA, PiB, C7, C5, C3, C1, Count };
} // namespace sine_constant

namespace precise_exp_constant {
enum Index : std::uint8_t { Log2E, MinExponent, C6, C5, C4, C3, C2, C1, Count };
} // namespace precise_exp_constant

namespace precise_sine_constant {
/// PiA + PiB + PiC = pi; PiA and PiB have 8 significant bits.
enum Index : std::uint8_t { Low, High, InversePi, PiA, PiB, PiC, C9, C7, C5, C3, C1, Count };
} // namespace precise_sine_constant

namespace stepwise_constant {
inline constexpr unsigned kKnots = 6;
/// Knot j starts segment j + 1; segment s is slope[s] * t + intercept[s].
enum Index : std::uint8_t {
  Low,
  High,
  Knots,
  Slopes = Knots + kKnots,
  Intercepts = Slopes + kKnots + 1,
  Count = Intercepts + kKnots + 1
};
} // namespace stepwise_constant

namespace leaky_constant {
enum Index : std::uint8_t { Slope, Count };
} // namespace leaky_constant

} // namespace kimic::quant
