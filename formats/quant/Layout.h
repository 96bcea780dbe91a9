// Where the parameters of an expert and a kernel's scratch memory lie: a pure function of the signature.
//
// The only exception are residual rows (WeightFormat::Int8Residual): how many there are is a parameter, so they come
// after everything else, one after the other, and are read in order. No offset depends on them.
//
// Kernels are compiled against these offsets, the compiler packs weights into them and the reference evaluator reads
// them, so no offset is ever stored and none can lie. Specification: formats/spec/kernel-abi-v1.md, "Parameter block"
// and "Scratch". All offsets are bytes from the 16-byte-aligned start and multiples of 16.
#pragma once

#include "formats/base/Array.h"
#include "formats/quant/Signature.h"

namespace kimic::quant {

/// Outputs of a full block of weights; the last block of a layer has 8, 16, 24 or 32.
inline constexpr std::uint32_t kBlockOutputs = 32;
/// Outputs that share the vectors of a block. Those of a layer that do not fill a group have rows of weights instead.
inline constexpr std::uint32_t kGroupOutputs = 8;
/// The same for f32 weights; the last block of a layer has 4, 8, 12 or 16 outputs.
inline constexpr std::uint32_t kFloatBlockOutputs = 16;
inline constexpr std::uint32_t kFloatGroupOutputs = 4;
/// Weights in a vector of a row of int8 weights; residual rows are padded to a multiple.
inline constexpr std::uint32_t kRowVector = 8;
inline constexpr std::uint32_t kNone = 0xFFFFFFFFu;
/// Most bytes that a parameter block or a scratch area may have.
inline constexpr std::uint32_t kMaxBlockBytes = 16u << 20;
/// Codes past the last one that a kernel may read and overwrite.
inline constexpr std::uint32_t kCodePadding = 8;
/// Rows of inputs that a kernel may work on at a time.
inline constexpr std::uint32_t kTileRows = 4;

/// Constants of an activation function's evaluation. They are parameters, so that kernels load them from memory.
/// Values and indices: Constants.h.
enum class ConstantTable : std::uint8_t {
  Tanh,
  Exp,
  Sine,
  Stepwise,
  StepwiseSymmetric,
  Leaky,
  PreciseExp,
  PreciseSine
};
inline constexpr unsigned kConstantTableCount = 8;

struct ConstantsLayout {
  ConstantTable table;
  std::uint32_t offset; ///< f32[size of the table]
};

struct LayerLayout {
  std::uint32_t fanIn, outputs;
  std::uint32_t kPairs;      ///< ceil(fanIn / 2)
  std::uint32_t fullBlocks;  ///< blocks of 32 outputs; Float32: of 16
  std::uint32_t tailOutputs; ///< outputs of the last, smaller block: 0, 8, 16 or 24; Float32: 0, 4, 8 or 12
  std::uint32_t rowOutputs;  ///< the last outputs % 8 outputs, which are in no block; Float32: outputs % 4
  /// First block: i32 bias[NR], then kPairs * NR * 2 weight bytes; Float32: f32 bias[NR], then f32[NR] for each k.
  /// Blocks are contiguous.
  std::uint32_t blocksOffset;
  /// Behind the blocks: i32 bias[rowOutputs], then int8 weights[rowOutputs][fanIn]; Float32: both f32. A kernel may
  /// read (but not use) up to 12 bytes behind them, which are part of the parameter block.
  std::uint32_t rowsOffset;
  /// f32 {lo, hi}: bounds of the layer's codes before rounding; kNone for the last layer and for Float32
  std::uint32_t boundsOffset;
  std::uint32_t multiplierOffset;    ///< f32[vectorLength]; kNone for Float32
  std::uint32_t limitOffset;         ///< f32[vectorLength], or kNone if no group is clamped
  std::uint32_t residualCountOffset; ///< Int8Residual: u32, number of the layer's residual rows; else kNone
  /// Length of the layer's arrays: outputs rounded up to 4 if the layer has one group, else outputs + 3 rounded up to
  /// 4, so that a vector of 4 that starts at the first output of any group, or 4 k after it, stays inside.
  std::uint32_t vectorLength;
  std::uint32_t codesBegin; ///< index of the first code that the layer writes (meaningless for the last layer)

  /// Outputs in blocks; the row outputs follow them.
  std::uint32_t blockedOutputs() const { return outputs - rowOutputs; }
};

struct Layout {
  Array<ConstantsLayout> constants; ///< the tables that the signature's functions use, in enum order
  std::uint32_t inputBoundsOffset;  ///< f32 {lo, hi}: bounds of the input codes before rounding; Float32: of x
  std::uint32_t inputScaleOffset;   ///< f32[inputs rounded up to 8]; kNone for Float32
  Array<LayerLayout> layers;
  std::uint32_t outputGainOffset, outputOffsetOffset; ///< f32[vectorLength of the last layer], or kNone
  std::uint32_t headScaleOffset;                      ///< f32; kNone if the head is not Softmax
  /// Bytes of the parameter block up to the residual rows, which start here: all of it except for Int8Residual.
  std::uint32_t parameterBytes;

  // Scratch: kTileRows areas, one for each row of inputs in work. In an area:
  std::uint32_t codesOffset;        ///< i16[codes], readable and writable 8 codes past the end; Float32: f32
  std::uint32_t correctionOffset;   ///< i32[4]
  std::uint32_t accumulatorsOffset; ///< i32[largest vectorLength]
  std::uint32_t residualsOffset;    ///< f32[largest vectorLength] for Int8Residual; else kNone
  std::uint32_t logitsOffset;       ///< f32[vectorLength of the last layer] if there is a head; else kNone
  std::uint32_t activeOffset;       ///< with sparse inputs: u32, then u16[pairs of the first layer]; else kNone
  std::uint32_t scratchRowBytes;    ///< of an area
  std::uint32_t scratchBytes;       ///< of all

  /// Offset of `table` in the parameter block; kNone if the signature does not use it.
  std::uint32_t constantsOffset(ConstantTable table) const;
};

/// Bytes of one block of `outputs` outputs (a multiple of 8).
constexpr std::uint32_t blockBytes(std::uint32_t outputs, std::uint32_t kPairs) {
  return outputs * 4 + kPairs * outputs * 2;
}

/// Bytes of one block of `outputs` outputs (a multiple of 4) of f32 weights.
constexpr std::uint32_t floatBlockBytes(std::uint32_t outputs, std::uint32_t fanIn) {
  return outputs * 4 * (fanIn + 1);
}

/// A residual row: u32 output, f32 multiplier, int8 weights[fanIn], zeros up to a multiple of 8 bytes.
inline constexpr std::uint32_t kResidualMultiplierOffset = 4, kResidualWeightsOffset = 8;
constexpr std::uint32_t residualRowBytes(std::uint32_t fanIn) {
  return kResidualWeightsOffset + (fanIn + kRowVector - 1) / kRowVector * kRowVector;
}

/// Whether kernels skip pairs of codes that are both 0 in the sums of the layer's blocks.
inline bool isSparse(const Signature &signature, const Layout &layout, const LayerLayout &layer) {
  return signature.sparseInputs && signature.weights() != WeightFormat::Float32 && &layer == layout.layers.data() &&
         layer.blockedOutputs() > 0;
}

/// Bytes of a layer's weights and biases, residual rows left out.
std::uint64_t weightBytes(WeightFormat format, const LayerLayout &layer);

/// The layout of a valid signature. ParametersTooLarge or ScratchTooLarge if one exceeds kMaxBlockBytes.
Result<void> layoutOf(const Signature &signature, Layout &layout);
inline Result<Layout> layoutOf(const Signature &signature) {
  Layout layout;
  KIMIC_TRY(layoutOf(signature, layout));
  return layout;
}

} // namespace kimic::quant
