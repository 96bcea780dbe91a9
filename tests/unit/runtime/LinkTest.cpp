// Linking kernels: what the runtime asks for, checks and calls.
#include "runtime/include/kimic/Runtime.h"
#include "tests/support/FakeHost.h"
#include "tests/support/TestPack.h"

#include <gtest/gtest.h>

namespace kimic::runtime {
namespace {

using kimic::testing::constantExpert;
using kimic::testing::FakeHost;
using kimic::testing::TestPack;

constexpr std::uint32_t kScalar = 1, kSimd128 = 2, kRelaxed = 4;

struct Call {
  const std::uint8_t *params;
  const float *x;
  float *y;
  std::uint8_t *scratch;
  std::uint32_t rows;
};
Call lastCall;

// What a linked kernel 0 or 1 does in these tests.
template <int Answer>
void kernel(const std::uint8_t *params, const float *x, float *y, std::uint8_t *scratch, std::uint32_t rows) {
  lastCall = {params, x, y, scratch, rows};
  y[0] = Answer;
}
using Kernel = void (*)(const std::uint8_t *, const float *, float *, std::uint8_t *, std::uint32_t);
const Kernel kTable[] = {kernel<1000>, kernel<1001>};

TestPack twoKernels() {
  TestPack pack;
  pack.add(constantExpert(2, {7}));
  pack.add(constantExpert(3, {8}));
  return pack;
}

struct LinkingHost : FakeHost {
  explicit LinkingHost(TestPack pack, std::uint32_t variants) : FakeHost(pack.bytes(), 1 << 20, variants) {
    table = reinterpret_cast<std::uintptr_t>(kTable);
    EXPECT_EQ(open(), KIMIC_OK);
  }
  float runOne(std::uint32_t expert) {
    alignas(4) float x[3] = {}, y[1] = {-1};
    EXPECT_EQ(kimic_run(runtime, expert, x, 1, y), KIMIC_OK);
    return y[0];
  }
  std::vector<KimicRequest> links() const {
    std::vector<KimicRequest> links;
    for (const KimicRequest &request : seen)
      if (request.kind == KIMIC_REQUEST_LINK)
        links.push_back(request);
    return links;
  }
  std::uint32_t variantOf(std::uint32_t expert) {
    KimicExpertInfo info{};
    EXPECT_EQ(kimic_expert_info(runtime, expert, &info), KIMIC_OK);
    return info.variant;
  }
};

TEST(Link, AsksForAGroupOnce) {
  LinkingHost host(twoKernels(), kScalar | kSimd128);
  ASSERT_EQ(host.load(0), KIMIC_OK);
  ASSERT_EQ(host.load(1), KIMIC_OK);
  ASSERT_EQ(host.links().size(), 1u);
  EXPECT_EQ(host.links()[0].firstKernel, 0u);
  EXPECT_EQ(host.links()[0].kernelCount, 2u);
  EXPECT_EQ(host.links()[0].variant, static_cast<std::uint32_t>(KIMIC_VARIANT_SIMD128));
  EXPECT_EQ(host.links()[0].length, kimic::testing::emptyKernelModule(2).size());
  EXPECT_EQ(host.stats().linkedKernels, 2u);
}

TEST(Link, CallsTheExpertsOwnKernel) {
  LinkingHost host(twoKernels(), kScalar);
  ASSERT_EQ(host.load(0), KIMIC_OK);
  ASSERT_EQ(host.load(1), KIMIC_OK);
  EXPECT_EQ(host.runOne(0), 1000.0f);
  EXPECT_EQ(host.runOne(1), 1001.0f);
  EXPECT_EQ(host.variantOf(0), static_cast<std::uint32_t>(KIMIC_VARIANT_SCALAR));
}

TEST(Link, PassesAlignedParametersAndScratch) {
  LinkingHost host(twoKernels(), kScalar);
  ASSERT_EQ(host.load(1), KIMIC_OK);
  float x[6] = {}, y[2];
  ASSERT_EQ(kimic_run(host.runtime, 1, x, 2, y), KIMIC_OK);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(lastCall.params) % 16, 0u);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(lastCall.scratch) % 16, 0u);
  EXPECT_EQ(lastCall.x, x);
  EXPECT_EQ(lastCall.y, y);
  EXPECT_EQ(lastCall.rows, 2u);
}

TEST(Link, ChoosesTheHighestVariantOfPackAndHost) {
  LinkingHost host(twoKernels(), kScalar | kSimd128 | kRelaxed); // the pack has no relaxed kernels
  ASSERT_EQ(host.load(0), KIMIC_OK);
  EXPECT_EQ(host.variantOf(0), static_cast<std::uint32_t>(KIMIC_VARIANT_SIMD128));
}

TEST(Link, RunsGenericallyWithoutReadingModulesIfNoVariantFits) {
  for (std::uint32_t variants : {0u, kRelaxed}) {
    LinkingHost host(twoKernels(), variants);
    ASSERT_EQ(host.load(0), KIMIC_OK);
    EXPECT_TRUE(host.links().empty());
    EXPECT_EQ(host.runOne(0), 7.0f);
    EXPECT_EQ(host.variantOf(0), static_cast<std::uint32_t>(KIMIC_VARIANT_GENERIC));
    EXPECT_EQ(host.seen.size(), 4u); // root, leaf, parameters, signatures
  }
}

TEST(Link, RunsGenericallyIfTheHostDeclines) {
  LinkingHost host(twoKernels(), kSimd128);
  host.linkError = ErrorId::LinkDeclined;
  ASSERT_EQ(host.load(0), KIMIC_OK);
  EXPECT_EQ(host.runOne(0), 7.0f);
  EXPECT_EQ(host.variantOf(0), static_cast<std::uint32_t>(KIMIC_VARIANT_GENERIC));
  ASSERT_EQ(host.load(1), KIMIC_OK);
  EXPECT_EQ(host.links().size(), 1u);
  EXPECT_EQ(host.stats().linkedKernels, 0u);
}

TEST(Link, AFailureIsReportedAndTriedAgain) {
  LinkingHost host(twoKernels(), kSimd128);
  host.linkError = ErrorId::LinkFailed;
  EXPECT_EQ(host.load(0), static_cast<int>(ErrorId::LinkFailed));
  host.linkError = ErrorId::None;
  EXPECT_EQ(host.load(0), KIMIC_OK);
  EXPECT_EQ(host.runOne(0), 1000.0f);
}

TEST(Link, FreesTheModuleAfterwards) {
  std::vector<std::uint8_t> body = {0};
  while (body.size() < 4096)
    body.insert(body.end(), {0x41, 0, 0x1a}); // i32.const 0, drop
  body.push_back(0x0b);
  TestPack pack = twoKernels();
  pack.contents.modules[1] = {kimic::testing::kernelModule({body, body})};
  LinkingHost linked(pack, kSimd128), generic(pack, 0);
  ASSERT_EQ(linked.load(0), KIMIC_OK);
  ASSERT_EQ(generic.load(0), KIMIC_OK);
  // Reused blocks may be some bytes larger than asked for; the module is larger than that.
  EXPECT_NEAR(static_cast<double>(linked.stats().arenaUsed), static_cast<double>(generic.stats().arenaUsed), 64);
}

TEST(Link, NeverOffersAModuleThatTheVerifierRefuses) {
  std::vector<std::uint8_t> tooFew = kimic::testing::emptyKernelModule(1);
  std::vector<std::uint8_t> calling = kimic::testing::emptyKernelModule(2);
  // Body 1 becomes `call 0; end`: sizes of the body and of the code section grow by two.
  std::size_t body = calling.size() - 3;
  calling[body] += 2;
  calling.insert(calling.begin() + static_cast<std::ptrdiff_t>(body) + 2, {0x10, 0});
  calling[body - 5] += 2;
  for (const std::vector<std::uint8_t> &module : {tooFew, calling, std::vector<std::uint8_t>(40, 0)}) {
    TestPack pack = twoKernels();
    pack.contents.modules[1] = {module};
    LinkingHost host(pack, kSimd128);
    std::int32_t status = host.load(0);
    EXPECT_GE(status, 3000);
    EXPECT_LT(status, 4000);
    EXPECT_TRUE(host.links().empty());
  }
}

} // namespace
} // namespace kimic::runtime
