// The verifier of kernel modules: whatever the bytes, no crash; a wider variant accepts what a narrower one does.
#include "formats/abi/KernelVerifier.h"
#include "tests/fuzz/Require.h"

using namespace kimic;
using kimic::test::require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  std::span<const std::uint8_t> bytes(data, size);
  for (std::uint32_t kernels : {1u, 2u}) {
    bool isAccepted = false;
    for (abi::Variant variant : {abi::Variant::Scalar, abi::Variant::Simd128, abi::Variant::Relaxed}) {
      Result<void> result = abi::verifyKernelModule(bytes, kernels, variant);
      require(!isAccepted || result.ok());
      isAccepted = result.ok();
      require(isAccepted || result.error().args[0] <= size);
    }
  }
  return 0;
}
