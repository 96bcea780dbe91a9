// A signature and the parameter block after it (u8 length of the signature, signature, block), as a hostile pack could
// hold them: whatever the bytes, no crash, and the reference evaluator stays inside of its areas.
#include "formats/quant/KernelName.h"
#include "formats/quant/Parameters.h"
#include "tests/fuzz/Require.h"
#include "tests/support/KernelCases.h"

#include <algorithm>

using namespace kimic;
using kimic::test::require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  if (size == 0)
    return 0;
  std::span<const std::uint8_t> bytes(data + 1, size - 1);
  std::span<const std::uint8_t> encoded = bytes.first(std::min<std::size_t>(data[0], bytes.size()));
  Result<quant::Signature> signature = quant::decodeSignature(encoded);
  if (!signature.ok())
    return 0;
  std::vector<std::uint8_t> again = quant::encode(*signature);
  require(std::equal(again.begin(), again.end(), encoded.begin(), encoded.end()));
  require(!quant::kernelName(*signature).empty());

  Result<quant::Layout> layout = quant::layoutOf(*signature);
  if (!layout.ok() || layout->parameterBytes > (1u << 16))
    return 0;
  std::vector<std::uint8_t> block(bytes.begin() + encoded.size(), bytes.end());
  bool isValid = quant::validateParameters(*signature, *layout, block).ok();
  if (!isValid) {
    // Not what a runtime would run, but what can be run without residual rows.
    block.resize(layout->parameterBytes);
    for (const quant::LayerLayout &layer : layout->layers)
      if (layer.residualCountOffset != quant::kNone)
        std::fill_n(block.begin() + layer.residualCountOffset, 4, std::uint8_t{0});
  }
  Result<quant::ExpertParameters> parameters = quant::unpackParameters(*signature, *layout, block);
  if (parameters.ok())
    require(quant::packParameters(*signature, *layout, *parameters) == block);

  testing::referenceOutputs(*signature, *layout, block, std::vector<float>(2 * signature->inputs, 0.75f));
  return 0;
}
