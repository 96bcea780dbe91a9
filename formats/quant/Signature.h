// What a kernel computes, without the numbers: the part of an expert that is code.
//
// Two experts with equal signatures share one kernel; everything else (weights, scales, constants) is the parameter
// block, laid out by Layout.h. Semantics: formats/spec/quantization-v1.md. Bytes: formats/spec/kernel-abi-v1.md.
//
// An expert works on one array of i16 codes. The quantized inputs are codes 0 .. inputs-1; every hidden layer appends
// its outputs. A layer reads the codes from `readBegin` up to the end of what exists when it starts: all earlier
// values for FANN's shortcut and cascade networks (readBegin = 0), the previous layer for layered ones.
// The last layer writes f32 values instead of codes: the logits, from which the head makes the outputs.
// In an expert of Float32 weights, everything that is called a code is an f32 value.
#pragma once

#include "formats/base/Activation.h"
#include "formats/base/Result.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace kimic::quant {

/// How the weights are stored; the same in all layers of an expert.
enum class WeightFormat : std::uint8_t {
  Int8 = 0,         ///< one int8 per weight, one scale per output row
  Int8Residual = 1, ///< Int8, and a second such plane for the groups of 8 outputs that the parameter block lists
  Float32 = 2,      ///< f32 weights and f32 values between layers; every group is clamped
};
inline constexpr unsigned kWeightFormatCount = 3;

/// What becomes of the last layer's values, the logits.
enum class Head : std::uint8_t {
  None = 0,    ///< they are the outputs
  Softmax = 1, ///< outputs exp(s v[n]) / sum of exp(s v[i]), s = 1 / temperature being a parameter
  Argmax = 2,  ///< one output: the index of the first largest logit, as f32
};
inline constexpr unsigned kHeadCount = 3;

/// A run of outputs of one layer with the same activation function and clamping.
struct ActivationGroup {
  Activation function = Activation::Linear;
  /// t is clamped to +-limit[n] before the function (FANN's +-150/steepness), limits being parameters. The compiler
  /// sets it where the clamp can change a result.
  bool clamped = false;
  std::uint32_t count = 0; ///< outputs in the run, >= 1

  friend bool operator==(const ActivationGroup &, const ActivationGroup &) = default;
};

struct LayerSignature {
  WeightFormat weights = WeightFormat::Int8;
  std::uint32_t readBegin = 0;         ///< first code that the layer reads
  std::vector<ActivationGroup> groups; ///< neighbours differ in function or clamped: a run is never split

  /// Sum of the groups' counts.
  std::uint32_t outputs() const;

  friend bool operator==(const LayerSignature &, const LayerSignature &) = default;
};

struct Signature {
  std::uint32_t inputs = 0;
  std::vector<LayerSignature> layers; ///< at least one; the last one yields the outputs
  /// Logits are y * gain[n] + offset[n] (FANN's output scaling), gains and offsets being parameters.
  bool outputAffine = false;
  /// A schedule, which changes no bit: the first layer's sums skip pairs of inputs whose codes are both 0. Compilers
  /// set it where most are.
  bool sparseInputs = false;
  Head head = Head::None;

  /// Numbers that a kernel writes per row.
  std::uint32_t outputs() const { return head == Head::Argmax ? 1 : logits(); }
  /// Outputs of the last layer.
  std::uint32_t logits() const { return layers.back().outputs(); }
  /// The format of all layers.
  WeightFormat weights() const { return layers.front().weights; }
  /// Codes that exist when layer `layer` starts: inputs plus all outputs of earlier layers.
  std::uint32_t codesBefore(std::size_t layer) const;
  /// Inputs and outputs of layer `layer`'s weight matrix.
  std::uint32_t fanIn(std::size_t layer) const { return codesBefore(layer) - layers[layer].readBegin; }

  friend bool operator==(const Signature &, const Signature &) = default;
};

/// Limits of a signature. A reader refuses more; they bound what a hostile pack can make a runtime allocate.
inline constexpr std::uint32_t kMaxWidth = 65536;  ///< inputs, outputs of a layer
inline constexpr std::uint32_t kMaxLayers = 4096;  ///< also the depth of a cascade
inline constexpr std::uint32_t kMaxGroups = 65536; ///< activation groups of all layers together

/// The canonical bytes of a valid signature (kernel-abi-v1, "Signature").
std::vector<std::uint8_t> encode(const Signature &signature);

/// Reads what encode() wrote and refuses anything else: SignatureMalformed (not canonical, truncated, bytes left over)
/// or an error of validate(). What it allocates is bounded by the size of `bytes`. REQUIRES: the signature is new.
Result<void> decodeSignature(std::span<const std::uint8_t> bytes, Signature &signature);
inline Result<Signature> decodeSignature(std::span<const std::uint8_t> bytes) {
  Signature signature;
  KIMIC_TRY(decodeSignature(bytes, signature));
  return signature;
}

/// Errors if the signature breaks a rule: counts of zero, a readBegin past the codes, split groups, layers of different
/// formats, groups of Float32 layers that are not clamped, the limits above (SignatureInputs, Layers, WeightFormat,
/// MixedFormats, ReadsPastCodes, Width, Function, EmptyGroup, SplitGroup, Unclamped, TooLarge, Head).
Result<void> validate(const Signature &signature);

} // namespace kimic::quant
