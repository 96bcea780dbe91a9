// kimic_generic.wasm: the evaluator that runs experts where no kernels can be linked. A module of its own, because few
// pages ever need it: hosts read it when the runtime asks for it (KIMIC_REQUEST_LINK with KIMIC_VARIANT_GENERIC). It
// shares the runtime's memory and stack, has no data, and both come from one build: signatures and layouts are passed
// as C++ has them.
#include "formats/reference/Reference.h"

extern "C" __attribute__((used, visibility("default"))) void
kimic_generic(const kimic::quant::Signature &signature, const kimic::quant::Layout &layout, const std::uint8_t *params,
              const float *x, float *y, std::uint8_t *scratch, std::uint32_t rows) {
  kimic::reference::run(signature, layout, params, x, y, scratch, rows);
}
