// Writes a pack of random experts of every kind behind a router, with the compiler's kernels.
//
//   random-pack OUTPUT.kpk softmax|sigmoid|product-keys|planned
//
// planned: softmax, and some routed experts read others.
#include "compiler/Target/KernelModule.h"
#include "formats/base/File.h"
#include "tests/support/TestPack.h"

#include <cstdio>
#include <map>
#include <string_view>

using namespace kimic;
using kimic::testing::ExpertGenerator;
using kimic::testing::RandomExpert;
using kimic::testing::TestPack;

// A network with this many inputs and outputs and otherwise random.
static RandomExpert shaped(ExpertGenerator &generator, std::uint32_t inputs, std::uint32_t outputs) {
  RandomExpert expert;
  do
    expert.signature = generator.signature();
  while (expert.signature.layers.size() < 2);
  expert.signature.inputs = inputs;
  for (std::size_t l = 0; l < expert.signature.layers.size(); ++l)
    expert.signature.layers[l].readBegin = 0; // as in a shortcut network: valid whatever the widths
  expert.signature.layers.back().groups = {{Activation::Linear, false, outputs}};
  expert.signature.outputAffine = true;
  expert.parameters = generator.parameters(expert.signature);
  return expert;
}

int main(int argc, char **argv) {
  const std::string_view head = argc == 3 ? argv[2] : "";
  const bool hasKeys = head == "product-keys", isSigmoid = head == "sigmoid", isPlanned = head == "planned";
  if (!hasKeys && !isSigmoid && !isPlanned && head != "softmax") {
    std::fprintf(stderr, "usage: random-pack OUTPUT.kpk softmax|sigmoid|product-keys|planned\n");
    return 2;
  }
  ExpertGenerator generator(2024, {60, 6, 70, 4});
  TestPack pack;
  constexpr std::uint32_t kExperts = 150, kInputs = 19;
  const std::uint32_t routedCount = hasKeys ? 12 : 7; // 12: a grid of 3 rows and 4 columns
  std::vector<RandomExpert> routed;
  const std::map<std::uint32_t, std::vector<pack::Source>> plan = {{1, {{0, 0, 5}, {2, 1, 3}, {pack::kNoExpert, 4, 6}}},
                                                                   {3, {{1, 0, 5}, {pack::kNoExpert, 0, kInputs}}}};
  for (std::uint32_t i = 0; i < routedCount; ++i)
    routed.push_back(shaped(generator, isPlanned && i == 1 ? 14 : isPlanned && i == 3 ? 5 + kInputs : kInputs, 5));
  RandomExpert router = shaped(generator, kInputs, hasKeys ? 7 : routedCount);
  pack.addKernel(router.signature); // the first group has the router's
  for (const RandomExpert &expert : routed)
    pack.add(expert);
  for (std::uint32_t i = routedCount; i < kExperts; ++i)
    pack.add(generator.expert());
  pack.addRouter(router, 3, pack::Merge::Weighted, 2);
  pack.contents.router->routed = routedCount;
  if (isPlanned) {
    pack.contents.features = kInputs;
    for (const auto &[expert, sources] : plan)
      pack.contents.experts[expert].reads = sources;
  }
  if (hasKeys)
    pack.contents.router->head = pack::Head::ProductKeys;
  if (isSigmoid) {
    // As Kimi-K2's, and thresholds that now and then leave nobody but the fallback.
    pack.contents.router->head = pack::Head::Sigmoid;
    pack.contents.router->strategy = pack::Strategy::Threshold;
    pack.contents.router->scale = 2.827f;
    pack.contents.router->fallback = 6;
    pack.addColumn(&pack::Router::hasBias, {0, 0.1f, -0.1f, 0.3f, 0, 0, 0.05f});
    pack.addColumn(&pack::Router::hasThresholds, {0.5f, 0.2f, 0.9f, 0.4f, 0.3f, 1, 0.6f});
  }
  pack.contents.meta = R"({"name":"random","experts":[{"id":"first","name":"the first one"}]})";

  std::vector<quant::Signature> &signatures = pack.signatures;
  for (kimic::abi::Variant variant : {kimic::abi::Variant::Scalar, kimic::abi::Variant::Simd128})
    for (std::size_t first = 0; first < signatures.size(); first += pack.kernelsPerGroup()) {
      std::span<const quant::Signature> group =
          std::span(signatures)
              .subspan(first, std::min<std::size_t>(pack.kernelsPerGroup(), signatures.size() - first));
      auto module = emitKernelModule(group, variant);
      if (!module.ok()) {
        std::fprintf(stderr, "%s\n", module.error().message().c_str());
        return 1;
      }
      pack.contents.modules[pack::variantIndex(variant)].push_back(std::move(module).value());
    }
  std::vector<std::uint8_t> bytes = pack.bytes();
  auto written = writeFileAtomically(argv[1], {reinterpret_cast<const char *>(bytes.data()), bytes.size()}, true);
  if (bytes.empty() || !written.ok()) {
    std::fprintf(stderr, "random-pack: no pack written\n");
    return 1;
  }
  std::printf("%u experts, %zu kernels, %zu bytes\n", kExperts + 1, signatures.size(), bytes.size());
  return 0;
}
