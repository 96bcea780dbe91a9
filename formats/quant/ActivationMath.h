// The activation functions, operation by operation: formats/spec/quantization-v1.md, "Activation functions".
//
// Each function is written once, over a builder of operations `Ops`. The reference evaluator instantiates it with
// floats, the compiler with values of its IR, for the scalar and for the simd128 kernels: so all of them compute the
// same bits. Every operation is one that WebAssembly has both as a scalar and as an f32x4 or i32x4 instruction, or is a
// compare and a select of two such (scalar pmin, pmax). Nothing may be fused, reassociated or folded.
//
// Ops provides
//   types      V (f32), I (i32, the bits of a V), M (a condition)
//   constants  V constant(ConstantTable, unsigned index)   from the parameter block
//              V literal(float)                            an exact small number: 0.5, 1, 8192 ...
//              I integer(std::int32_t)
//   f32        V add(V, V)  V sub(V, V)  V mul(V, V)  V div(V, V)  V abs(V)
//              V pmin(V a, V b): b < a ? b : a             V pmax(V a, V b): a < b ? b : a
//   condition  M lt(V, V)  M ge(V, V)                      V select(M, V ifTrue, V ifFalse)
//   bits       I bits(V)  V number(I)  I add(I, I)  I sub(I, I)  I bitXor(I, I)  I shiftLeft(I, unsigned)
// For finite and infinite t no operation yields a NaN, given the constants of Constants.h.
#pragma once

#include "formats/quant/Constants.h"

namespace kimic::quant {

inline constexpr float kMagic = 12582912.0f;           ///< 1.5 * 2^23: adding it rounds to an integer
inline constexpr std::int32_t kMagicBits = 0x4B400000; ///< its bits

/// max(lo, min(hi, v)) with NaN -> lo.
template <class Ops> typename Ops::V clamp(Ops &ops, typename Ops::V lo, typename Ops::V hi, typename Ops::V v) {
  return ops.pmin(hi, ops.pmax(lo, v));
}

/// rnd(v): the integer nearest to v, ties to even, for |v| < 2^22; some integer otherwise.
template <class Ops> typename Ops::I roundToCode(Ops &ops, typename Ops::V v) {
  return ops.sub(ops.bits(ops.add(v, ops.literal(kMagic))), ops.integer(kMagicBits));
}

namespace activation_math {

template <class Ops> typename Ops::V tanhCore(Ops &ops, typename Ops::V t, bool asCode) {
  using namespace tanh_constant;
  auto c = [&](unsigned index) { return ops.constant(ConstantTable::Tanh, index); };
  unsigned p = asCode ? P8192_2 : P2;
  t = clamp(ops, c(Low), c(High), t);
  auto u = ops.mul(t, t);
  auto n = ops.mul(u, c(p));
  n = ops.add(n, c(p + 1));
  n = ops.mul(n, u);
  n = ops.add(n, c(p + 2));
  n = ops.mul(n, t);
  auto d = ops.add(u, c(Q2));
  d = ops.mul(d, u);
  d = ops.add(d, c(Q1));
  d = ops.mul(d, u);
  d = ops.add(d, c(Q0));
  return ops.div(n, d);
}

/// 2^x = 2^(n + f): the polynomial in f, with n added to its exponent field. Its coefficients but the last, 1, are the
/// constants first .. end-1 of `table`.
template <class Ops>
typename Ops::V powerOfTwo(Ops &ops, ConstantTable table, unsigned first, unsigned end, typename Ops::V x) {
  auto z = ops.add(x, ops.literal(kMagic));
  auto f = ops.sub(x, ops.sub(z, ops.literal(kMagic)));
  auto p = ops.mul(f, ops.constant(table, first));
  for (unsigned index = first + 1; index < end; ++index) {
    p = ops.add(p, ops.constant(table, index));
    p = ops.mul(p, f);
  }
  p = ops.add(p, ops.literal(1.0f));
  return ops.number(ops.add(ops.bits(p), ops.shiftLeft(ops.bits(z), 23)));
}

/// exp(-t^2).
template <class Ops> typename Ops::V gaussian(Ops &ops, typename Ops::V t) {
  using namespace exp_constant;
  auto x = ops.mul(ops.mul(t, t), ops.constant(ConstantTable::Exp, MinusLog2E));
  x = ops.pmax(ops.constant(ConstantTable::Exp, MinExponent), x);
  return powerOfTwo(ops, ConstantTable::Exp, C4, Count, x);
}

/// sin(t), or cos(t) = sin(t + pi/2): t = (k - h) pi + r with h = 0 or 1/2, result (-1)^k sin(r). `table` is Sine or
/// PreciseSine.
template <class Ops> typename Ops::V sine(Ops &ops, ConstantTable table, typename Ops::V t, bool isCosine) {
  using namespace sine_constant;
  static_assert(static_cast<unsigned>(precise_sine_constant::PiB) == PiB, "the tables begin alike");
  bool isPrecise = table == ConstantTable::PreciseSine;
  unsigned first = isPrecise ? static_cast<unsigned>(precise_sine_constant::C9) : C7;
  unsigned count = isPrecise ? static_cast<unsigned>(precise_sine_constant::Count) : Count;
  auto c = [&](unsigned index) { return ops.constant(table, index); };
  t = clamp(ops, c(Low), c(High), t);
  auto z = ops.mul(t, c(InversePi));
  if (isCosine)
    z = ops.add(z, ops.literal(0.5f));
  z = ops.add(z, ops.literal(kMagic));
  auto k = ops.sub(z, ops.literal(kMagic));
  if (isCosine)
    k = ops.sub(k, ops.literal(0.5f));
  auto r = ops.sub(t, ops.mul(k, c(PiA)));
  for (unsigned part = PiB; part < first; ++part)
    r = ops.sub(r, ops.mul(k, c(part)));
  auto u = ops.mul(r, r);
  auto p = ops.mul(u, c(first));
  for (unsigned index = first + 1; index < count; ++index) {
    p = ops.add(p, c(index));
    p = ops.mul(p, index + 1 < count ? u : r);
  }
  return ops.number(ops.bitXor(ops.bits(p), ops.shiftLeft(ops.bits(z), 31)));
}

/// scale * t / (1 + |t|). The clamp keeps infinity / infinity out; beyond it the quotient is +-1 anyway.
template <class Ops> typename Ops::V elliot(Ops &ops, typename Ops::V t, bool asCode) {
  t = clamp(ops, ops.literal(-0x1p64f), ops.literal(0x1p64f), t);
  auto d = ops.add(ops.abs(t), ops.literal(1.0f));
  return ops.div(asCode ? ops.mul(t, ops.literal(8192.0f)) : t, d);
}

/// FANN's linear interpolation is convex below 0 and concave above, so between its outer knots, where it jumps, it is
/// the least and largest of its lines. The clamp keeps infinity and NaN out.
template <class Ops> typename Ops::V stepwise(Ops &ops, ConstantTable table, typename Ops::V t) {
  using namespace stepwise_constant;
  auto c = [&](unsigned index) { return ops.constant(table, index); };
  auto line = [&](unsigned segment) { return ops.add(ops.mul(c(Slopes + segment), t), c(Intercepts + segment)); };
  t = clamp(ops, c(Low), c(High), t);
  auto v = ops.pmax(line(2), line(3));
  v = ops.pmax(line(1), v);
  v = ops.pmin(line(4), v);
  v = ops.pmin(line(5), v);
  v = ops.select(ops.lt(t, c(Knots)), c(Intercepts), v);
  return ops.select(ops.ge(t, c(Knots + kKnots - 1)), c(Intercepts + kKnots), v);
}

template <class Ops> typename Ops::V leaky(Ops &ops, typename Ops::V t) {
  return ops.pmax(ops.mul(t, ops.constant(ConstantTable::Leaky, leaky_constant::Slope)), t);
}

/// Code of a value of range [0, 1]: 16384 v - 8192.
template <class Ops> typename Ops::V unitCode(Ops &ops, typename Ops::V v) {
  return ops.sub(ops.mul(v, ops.literal(16384.0f)), ops.literal(8192.0f));
}

/// v / 2 + 1/2: from the range [-1, 1] to [0, 1].
template <class Ops> typename Ops::V half(Ops &ops, typename Ops::V v) {
  return ops.add(ops.mul(v, ops.literal(0.5f)), ops.literal(0.5f));
}

} // namespace activation_math

/// exp(x) for x <= 0, with the table PreciseExp; about 2^-125 far from 0 and for NaN. A Softmax head computes
/// exp(v[n] - max v) with it.
template <class Ops> typename Ops::V evaluateExp(Ops &ops, typename Ops::V x) {
  using namespace precise_exp_constant;
  constexpr ConstantTable table = ConstantTable::PreciseExp;
  x = ops.pmax(ops.constant(table, MinExponent), ops.mul(x, ops.constant(table, Log2E)));
  return activation_math::powerOfTwo(ops, table, C6, Count, x);
}

namespace activation_math {

/// tanh(t) = +-(1 - e) / (1 + e) with e = exp(-2 |t|).
template <class Ops> typename Ops::V preciseTanh(Ops &ops, typename Ops::V t) {
  auto magnitude = ops.abs(t);
  auto sign = ops.bitXor(ops.bits(t), ops.bits(magnitude));
  auto e = evaluateExp(ops, ops.mul(magnitude, ops.literal(-2.0f)));
  auto one = ops.literal(1.0f);
  return ops.number(ops.bitXor(ops.bits(ops.div(ops.sub(one, e), ops.add(one, e))), sign));
}

template <class Ops> typename Ops::V preciseGaussian(Ops &ops, typename Ops::V t) {
  return evaluateExp(ops, ops.mul(ops.mul(t, t), ops.literal(-1.0f)));
}

} // namespace activation_math

/// What becomes of a function's value.
enum class Rendering : std::uint8_t {
  /// What a hidden layer rounds to a code (quantization-v1, "Hidden layers"): in [-8192, 8192] up to the last bits for
  /// Symmetric and Unit functions, f(t) itself for Unbounded ones.
  Code,
  Output,  ///< f32, as an output of the network
  Precise, ///< f32, in experts of Float32 weights, hidden layers included: as Output, but to f32's own accuracy
};

template <class Ops> typename Ops::V evaluate(Ops &ops, Activation function, typename Ops::V t, Rendering rendering) {
  using namespace activation_math;
  const bool isCode = rendering == Rendering::Code, isPrecise = rendering == Rendering::Precise;
  const bool isUnit = codeKindOf(function) == CodeKind::Unit;
  typename Ops::V v = t;
  switch (function) {
  case Activation::Threshold:
  case Activation::ThresholdSymmetric:
    return ops.select(ops.lt(t, ops.literal(0.0f)),
                      ops.literal(isCode   ? -8192.0f
                                  : isUnit ? 0.0f
                                           : -1.0f),
                      ops.literal(isCode ? 8192.0f : 1.0f));
  case Activation::Sigmoid:
  case Activation::SigmoidSymmetric:
    v = isPrecise ? preciseTanh(ops, t) : tanhCore(ops, t, isCode);
    return isUnit && !isCode ? half(ops, v) : v;
  case Activation::Elliot:
  case Activation::ElliotSymmetric:
    v = elliot(ops, t, isCode);
    return isUnit && !isCode ? half(ops, v) : v;
  case Activation::Sin:
  case Activation::SinSymmetric:
  case Activation::Cos:
  case Activation::CosSymmetric:
    v = sine(ops, isPrecise ? ConstantTable::PreciseSine : ConstantTable::Sine, t,
             function == Activation::Cos || function == Activation::CosSymmetric);
    if (isCode)
      return ops.mul(v, ops.literal(8192.0f));
    return isUnit ? half(ops, v) : v;
  case Activation::Gaussian:
  case Activation::GaussianSymmetric:
    v = isPrecise ? preciseGaussian(ops, t) : gaussian(ops, t);
    if (isCode)
      return unitCode(ops, v);
    return isUnit ? v : ops.sub(ops.mul(v, ops.literal(2.0f)), ops.literal(1.0f));
  case Activation::SigmoidStepwise:
  case Activation::SigmoidSymmetricStepwise:
    v = stepwise(ops, isUnit ? ConstantTable::Stepwise : ConstantTable::StepwiseSymmetric, t);
    break;
  case Activation::LinearPiece:
  case Activation::LinearPieceSymmetric:
    v = clamp(ops, ops.literal(isUnit ? 0.0f : -1.0f), ops.literal(1.0f), t);
    break;
  case Activation::GaussianStepwise:
    return ops.literal(0.0f);
  case Activation::LinearPieceRect:
    return ops.pmax(ops.literal(0.0f), t);
  case Activation::LinearPieceRectLeaky:
    return leaky(ops, t);
  case Activation::Linear:
    return t;
  }
  if (!isCode)
    return v;
  return isUnit ? unitCode(ops, v) : ops.mul(v, ops.literal(8192.0f));
}

template <class Ops> typename Ops::V evaluateCode(Ops &ops, Activation function, typename Ops::V t) {
  return evaluate(ops, function, t, Rendering::Code);
}
template <class Ops> typename Ops::V evaluateOutput(Ops &ops, Activation function, typename Ops::V t) {
  return evaluate(ops, function, t, Rendering::Output);
}

} // namespace kimic::quant
