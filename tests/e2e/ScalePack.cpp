// Writes a pack of any number of experts for measurements of scale: generated, not trained.
//
//   scale-pack OUTPUT.kpk EXPERTS [BLOCKS [SEED]]
//
// 64 signatures of 900 to 5,800 parameters are shared. There are BLOCKS different parameter blocks of random weights:
// one for each expert, or fewer, so that a pack of a million experts is a small file. In packs of more than 2,000
// experts each names four next ones. The pack is streamed: memory is that of the directory. There is no router, since
// none could have so many outputs.
#include "compiler/Target/KernelModule.h"
#include "formats/pack/PackWriter.h"
#include "tests/support/RandomExpert.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

using namespace kimic;
using kimic::testing::ExpertGenerator;

constexpr std::uint32_t kSignatures = 64;

static std::vector<quant::Signature> signatures() {
  std::vector<quant::Signature> out;
  for (std::uint32_t i = 0; i < kSignatures; ++i) {
    quant::Signature signature;
    signature.inputs = 16 + i % 8 * 8;
    signature.layers.resize(2);
    signature.layers[0].groups = {{Activation::SigmoidSymmetric, false, 32 + i / 8 * 5}};
    signature.layers[1].readBegin = signature.inputs;
    signature.layers[1].groups = {{Activation::Sigmoid, false, 12}};
    out.push_back(signature);
  }
  return out;
}

/// The same block every time it is asked for.
static std::vector<std::uint8_t> blockOf(const std::vector<quant::Signature> &signatures, std::uint32_t seed,
                                         std::uint32_t block) {
  const quant::Signature &signature = signatures[block % signatures.size()];
  ExpertGenerator generator(seed * 2654435761u + block);
  return quant::packParameters(signature, quant::layoutOf(signature).value(), generator.parameters(signature));
}

static int fail(const std::string &why) {
  std::fprintf(stderr, "scale-pack: %s\n", why.c_str());
  return 1;
}

int main(int argc, char **argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: scale-pack OUTPUT.kpk EXPERTS [BLOCKS [SEED]]\n");
    return 2;
  }
  auto experts = static_cast<std::uint32_t>(std::strtoul(argv[2], nullptr, 10));
  auto blocks = static_cast<std::uint32_t>(argc > 3 ? std::strtoul(argv[3], nullptr, 10) : experts);
  auto seed = static_cast<std::uint32_t>(argc > 4 ? std::strtoul(argv[4], nullptr, 10) : 1);
  if (blocks > experts || (blocks < experts && blocks % kSignatures))
    return fail("BLOCKS is a multiple of 64 and at most EXPERTS");
  std::vector<quant::Signature> all = signatures();
  pack::PackDirectory directory;
  directory.meta = R"({"name":"generated for scale, not trained"})";
  for (const quant::Signature &signature : all)
    directory.signatures.push_back(quant::encode(signature));
  for (abi::Variant variant : {abi::Variant::Scalar, abi::Variant::Simd128}) {
    auto module = emitKernelModule(all, variant);
    if (!module)
      return fail(module.error().message());
    directory.modules[pack::variantIndex(variant)].push_back(std::move(*module));
  }
  auto begin = std::chrono::steady_clock::now();
  for (std::uint32_t block = 0; block < blocks; ++block) {
    auto encoded = pack::encodeData(blockOf(all, seed, block));
    if (!encoded)
      return fail(message(encoded.error()));
    directory.blocks.push_back(encoded->block);
  }
  for (std::uint32_t expert = 0; expert < experts; ++expert) {
    pack::PackDirectory::Expert entry;
    entry.kernel = expert % kSignatures;
    entry.domain = static_cast<Domain>(expert % kDomainCount);
    entry.block = expert % blocks;
    entry.firstNext = static_cast<std::uint32_t>(directory.next.size());
    for (std::uint32_t step : {1u, 7u, 1000u, experts / 2})
      if (std::uint32_t next = (expert + step) % experts; experts > 2000)
        directory.next.push_back({next, 32});
    entry.nextCount = static_cast<std::uint32_t>(directory.next.size()) - entry.firstNext;
    directory.experts.push_back(entry);
  }
  auto middle = std::chrono::steady_clock::now();

  std::FILE *file = std::fopen(argv[1], "wb");
  if (!file)
    return fail(std::string("cannot write ") + argv[1]);
  std::uint64_t bytes = 0;
  auto header = pack::writePack(
      directory,
      [&](std::uint32_t block, std::vector<std::uint8_t> &stored) -> Result<void> {
        KIMIC_ASSIGN(pack::EncodedData encoded, pack::encodeData(blockOf(all, seed, block)));
        stored = std::move(encoded.stored);
        return {};
      },
      [&](std::span<const std::uint8_t> part) -> Result<void> {
        bytes += std::fwrite(part.data(), 1, part.size(), file);
        return {};
      });
  bool isWritten = std::fclose(file) == 0;
  if (!header)
    return fail(message(header.error()));
  if (!isWritten || bytes != header->fileBytes())
    return fail(std::string("cannot write all of ") + argv[1]);
  auto seconds = [](auto from, auto to) { return std::chrono::duration<double>(to - from).count(); };
  std::printf("%u experts, %llu bytes; generated and encoded in %.2f s, again and written in %.2f s\n", experts,
              static_cast<unsigned long long>(bytes), seconds(begin, middle),
              seconds(middle, std::chrono::steady_clock::now()));
  return 0;
}
