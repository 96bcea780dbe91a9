// One line of a routing trace: whatever the bytes, no crash; what is accepted keeps the promises of TraceReader.h.
#include "formats/trace/TraceReader.h"
#include "tests/fuzz/Require.h"

#include <cmath>
#include <set>

using namespace kimic;
using kimic::test::require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  static const trace::ExpertNumbers experts{{{"a", 0}, {"beta", 1}, {"c.d", 2}}, 3, 2};
  auto step = trace::parseStep({reinterpret_cast<const char *>(data), size}, "fuzz", 1, experts);
  if (!step) {
    require(!step.error().message().empty());
    return 0;
  }
  require(!step->experts.empty() && step->experts.size() <= trace::kMaxChosen);
  require(std::set(step->experts.begin(), step->experts.end()).size() == step->experts.size());
  for (std::uint32_t expert : step->experts)
    require(expert < experts.count);
  require(step->weights.empty() || step->weights.size() == step->experts.size());
  require(step->logits.empty() || step->logits.size() == experts.routed);
  for (const std::vector<float> *numbers : {&step->weights, &step->features, &step->logits})
    for (float number : *numbers)
      require(std::isfinite(number));
  require(!step->outcome || (*step->outcome >= 0 && *step->outcome <= 1));
  require(!step->target || *step->target < experts.count);
  return 0;
}
