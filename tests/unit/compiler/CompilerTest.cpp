// The facade, from networks to packs: shapes, accuracy, determinism, errors.
#include "kimic/Compiler.h"

#include "compiler/Pipeline/Measure.h"
#include "compiler/Pipeline/Pipeline.h"
#include "formats/fann/Evaluator.h"
#include "formats/pack/PackReader.h"
#include "formats/pack/PackVerify.h"
#include "formats/pack/PackWriter.h"
#include "tests/unit/compiler/TestNetworks.h"

#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>

using namespace kimic;
using namespace kimic::test;
using ::testing::HasSubstr;

namespace {

manifest::ExpertSet setOf(std::vector<manifest::Expert> experts) {
  manifest::ExpertSet set;
  set.name = "test";
  set.experts = std::move(experts);
  return set;
}

/// SQNR in dB of the compiled network against the float one, on rows in the calibrated range.
double sqnrOf(const fann::Network &network) {
  Matrix calibration = randomRows(100, network.numInputs, 7);
  auto compiled = compileExpert("e", network, calibration, {});
  EXPECT_TRUE(compiled.ok()) << compiled.error().message();
  if (!compiled.ok())
    return 0;
  Yardstick yardstick = makeYardstick(network, randomRows(50, network.numInputs, 11), std::nullopt,
                                      MeasuredOn::Generated, {.task = manifest::Task::Regression});
  return measure(*compiled, yardstick).sqnrDb;
}

//===--------------------------------------------------------------------===//
// Accuracy
//===--------------------------------------------------------------------===//

/// Hidden and output functions: all that are continuous, so that a small error stays one.
class ContinuousFunction : public ::testing::TestWithParam<unsigned> {};

TEST_P(ContinuousFunction, CompiledNetworkIsNearTheFloatOne) {
  auto function = static_cast<Activation>(GetParam());
  for (auto type : {fann::NetworkType::Layered, fann::NetworkType::Shortcut})
    EXPECT_GE(sqnrOf(makeNetwork(
                  {.type = type, .sizes = {9, 17, 10, 3}, .functions = {function}, .output = function, .gain = 1},
                  GetParam())),
              30)
        << nameOf(function);
}

INSTANTIATE_TEST_SUITE_P(All, ContinuousFunction,
                         ::testing::Values(0, 3, 5, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19),
                         [](const auto &info) { return std::string(nameOf(static_cast<Activation>(info.param))); });

/// Functions with jumps: nearly all outputs agree, some may fall on the other side.
class SteppedFunction : public ::testing::TestWithParam<unsigned> {};

TEST_P(SteppedFunction, MostOutputsOfTheCompiledNetworkAreNearTheFloatOnes) {
  auto function = static_cast<Activation>(GetParam());
  fann::Network network = makeNetwork({.sizes = {5, 8, 4}, .functions = {function}, .output = function}, 3);
  auto compiled = compileExpert("e", network, randomRows(100, 5, 7), {});
  ASSERT_TRUE(compiled.ok()) << compiled.error().message();
  Matrix inputs = randomRows(500, 5, 11);
  Matrix expected = fann::evaluate(network, inputs);
  Matrix actual = runCompiled(compiled->signature, compiled->parameters, inputs);
  std::size_t far = 0;
  for (std::size_t i = 0; i < expected.values.size(); ++i)
    far += std::fabs(expected.values[i] - actual.values[i]) > 0.05f;
  EXPECT_LE(far, expected.values.size() / 20);
}

INSTANTIATE_TEST_SUITE_P(All, SteppedFunction, ::testing::Values(1, 2, 4, 6, 9),
                         [](const auto &info) { return std::string(nameOf(static_cast<Activation>(info.param))); });

TEST(Compiler, NetworksOfManyShapesAreNearTheFloatOnes) {
  Random random(17);
  for (unsigned i = 0; i < 60; ++i) {
    NetworkShape shape;
    shape.type = i % 3 == 0 ? fann::NetworkType::Shortcut : fann::NetworkType::Layered;
    shape.connectionRate = i % 4 == 1 ? 0.5f : 1;
    std::size_t layers = 1 + random.below(12);
    std::uint32_t widest = i % 5 == 0 ? 300 : 40;
    shape.sizes.assign(1, 1 + random.below(widest));
    for (std::size_t l = 0; l < layers; ++l)
      shape.sizes.push_back(1 + random.below(widest));
    shape.functions = {Activation::SigmoidSymmetric, Activation::Sigmoid, Activation::ElliotSymmetric};
    shape.output = i % 2 ? Activation::Linear : Activation::SigmoidSymmetric;
    shape.gain = 0.7f;
    std::string sizes;
    for (std::uint32_t size : shape.sizes)
      sizes += std::to_string(size) + " ";
    EXPECT_GE(sqnrOf(makeNetwork(shape, i)), 25) << "network " << i << ": " << sizes;
  }
}

TEST(Compiler, CascadeOfOneNeuronLayersIsNearTheFloatOne) {
  NetworkShape shape{.type = fann::NetworkType::Shortcut, .sizes = {6}, .gain = 1};
  shape.sizes.insert(shape.sizes.end(), 40, 1);
  shape.sizes.push_back(3);
  EXPECT_GE(sqnrOf(makeNetwork(shape, 1)), 30);
}

TEST(Compiler, NoHiddenLayerIsNearTheFloatOne) {
  EXPECT_GE(sqnrOf(makeNetwork({.sizes = {300, 1}, .gain = 1}, 1)), 30);
}

TEST(Compiler, SaturatedNetworkHitsTheClampLikeFann) {
  // Sums of thousands: linear outputs are clamped to 150 / steepness.
  fann::Network network = makeNetwork({.sizes = {4, 3}, .output = Activation::Linear, .gain = 5000}, 1);
  auto compiled = compileExpert("e", network, randomRows(100, 4, 7), {});
  ASSERT_TRUE(compiled.ok());
  EXPECT_TRUE(compiled->signature.layers[0].groups[0].clamped);
  Matrix inputs = randomRows(50, 4, 11);
  Matrix expected = fann::evaluate(network, inputs);
  Matrix actual = runCompiled(compiled->signature, compiled->parameters, inputs);
  std::size_t clamped = 0;
  for (std::size_t i = 0; i < expected.values.size(); ++i) {
    EXPECT_NEAR(actual.values[i], expected.values[i], 30); // of sums of thousands
    clamped += std::fabs(expected.values[i]) == 300 && actual.values[i] == expected.values[i];
  }
  EXPECT_GE(clamped, expected.values.size() * 9 / 10);
}

TEST(Compiler, RuvFannNetworkIsNearTheFloatOne) {
  fann::Network network = makeNetwork({.sizes = {5, 12, 3},
                                       .functions = {Activation::Sigmoid, Activation::LinearPieceRect},
                                       .output = Activation::Linear,
                                       .gain = 1},
                                      2);
  network.semantics = fann::Semantics::RuvFann;
  EXPECT_GE(sqnrOf(network), 30);
}

TEST(Compiler, FixedPointNetworkIsNearTheIntegerOne) {
  fann::Network network = makeNetwork({.sizes = {5, 12, 3},
                                       .functions = {Activation::SigmoidSymmetricStepwise},
                                       .output = Activation::SigmoidSymmetricStepwise,
                                       .gain = 0.5f},
                                      2);
  network.semantics = fann::Semantics::FannFixed;
  network.decimalPoint = 12;
  for (fann::Neuron &neuron : network.neurons)
    neuron.fixedSteepness = 2048;
  for (fann::Connection &connection : network.connections) {
    connection.fixedWeight = static_cast<std::int32_t>(std::lround(connection.weight * 4096));
    connection.weight = static_cast<float>(connection.fixedWeight) / 4096;
  }
  EXPECT_GE(sqnrOf(network), 30);
}

TEST(Compiler, ScaledNetworkTakesAndGivesUnscaledNumbers) {
  fann::Network network = makeNetwork({.sizes = {3, 8, 2}, .gain = 1}, 2);
  network.scalingIn = fann::Scaling{{0.1f, -0.2f, 0}, {0.5f, 0.4f, 0}, {-1, -1, -1}, {1, 1, 1}};
  network.scalingOut = fann::Scaling{{1000, -50}, {30, 0}, {-1, -1}, {1, 1}};
  EXPECT_GE(sqnrOf(network), 40);
}

TEST(Compiler, NetworksOfExtremeNumbersAreCompiledOrRefused) {
  Random random(5);
  unsigned compiledCount = 0;
  for (unsigned i = 0; i < 300; ++i) {
    NetworkShape shape;
    shape.type = i % 2 ? fann::NetworkType::Shortcut : fann::NetworkType::Layered;
    shape.sizes = {1 + random.below(5), 1 + random.below(9), 1 + random.below(9), 1 + random.below(4)};
    shape.functions = {static_cast<Activation>(random.below(kActivationCount)),
                       static_cast<Activation>(random.below(kActivationCount))};
    shape.output = static_cast<Activation>(random.below(kActivationCount));
    fann::Network network = makeNetwork(shape, i);
    for (fann::Connection &connection : network.connections)
      connection.weight = std::ldexp(random.symmetric(), static_cast<int>(random.below(i < 150 ? 250 : 40)) - 125);
    for (fann::Neuron &neuron : network.neurons)
      neuron.steepness = random.below(4) == 0 ? 0 : std::ldexp(1.0f, static_cast<int>(random.below(60)) - 30);
    auto compiled = compileExpert("e", network, randomRows(20, network.numInputs, i), {});
    if (!compiled.ok()) {
      EXPECT_EQ(compiled.error().id, ErrorId::ExpertNotCompilable);
      continue;
    }
    ++compiledCount;
    for (float y :
         runCompiled(compiled->signature, compiled->parameters, randomRows(20, network.numInputs, i + 1, 3)).values)
      EXPECT_TRUE(std::isfinite(y)) << "network " << i;
  }
  EXPECT_GE(compiledCount, 150u);
}

TEST(Compiler, InputsFarOutsideOfTheCalibratedRangeGiveNumbers) {
  fann::Network network = makeNetwork({.sizes = {4, 9, 3}, .functions = {Activation::LinearPieceRect}}, 1);
  auto compiled = compileExpert("e", network, randomRows(100, 4, 7), {});
  ASSERT_TRUE(compiled.ok());
  Matrix inputs{2, 4, {1e30f, -1e30f, INFINITY, -INFINITY, NAN, 0, 1e10f, -NAN}};
  for (float y : runCompiled(compiled->signature, compiled->parameters, inputs).values)
    EXPECT_TRUE(std::isfinite(y));
}

//===--------------------------------------------------------------------===//
// Packs
//===--------------------------------------------------------------------===//

manifest::ExpertSet threeExperts() {
  return setOf({makeExpert("a", makeNetwork({.sizes = {4, 8, 2}}, 1)),
                makeExpert("b", makeNetwork({.sizes = {3, 5, 1}}, 2)),
                makeExpert("c", makeNetwork({.sizes = {4, 8, 2}}, 3))});
}

TEST(Compiler, PackIsValid) {
  auto output = compile(threeExperts());
  ASSERT_TRUE(output.ok()) << output.error().message();
  EXPECT_TRUE(pack::verifyPack(output->pack).ok());
}

/// Keeps what it gets; refuses what would make it larger than `most`.
class Output : public PackOutput {
public:
  explicit Output(std::size_t most = SIZE_MAX) : most_(most) {}
  Result<void, Diagnostic> append(std::span<const std::uint8_t> part) override {
    bytes.insert(bytes.end(), part.begin(), part.end());
    if (bytes.size() > most_)
      return Diagnostic{ErrorId::FileNotWritten, "out.kpk", 0, "", "no space", ""};
    return {};
  }
  Result<std::span<const std::uint8_t>, Diagnostic> written() override { return std::span<const std::uint8_t>(bytes); }

  std::vector<std::uint8_t> bytes;

private:
  std::size_t most_;
};

TEST(Compiler, PackGoesToAnOutputAsItWouldStayInMemory) {
  Output output;
  auto streamed = compile(threeExperts(), {}, &output), kept = compile(threeExperts());
  ASSERT_TRUE(streamed.ok() && kept.ok());
  EXPECT_EQ(output.bytes, kept->pack);
  EXPECT_TRUE(streamed->pack.empty());
  EXPECT_EQ(toJson(streamed->report), toJson(kept->report));
}

TEST(Compiler, SaysWhyAnOutputTakesNoMore) {
  Output full(1000);
  auto output = compile(threeExperts(), {}, &full);
  ASSERT_FALSE(output.ok());
  EXPECT_EQ(output.error().id, ErrorId::FileNotWritten);
  EXPECT_EQ(output.error().found, "no space");
}

TEST(Compiler, ExpertsOfOneShapeShareAKernel) {
  auto output = compile(threeExperts());
  ASSERT_TRUE(output.ok());
  ASSERT_EQ(output->report.kernels.size(), 2u);
  EXPECT_EQ(output->report.kernels[0].experts, 2u);
  EXPECT_EQ(output->report.experts[2].kernelId, 0u);
}

TEST(Compiler, PackBytesDoNotDependOnTheNumberOfThreads) {
  std::vector<manifest::Expert> experts;
  for (unsigned i = 0; i < 20; ++i)
    experts.push_back(makeExpert("e" + std::to_string(i), makeNetwork({.sizes = {3, 1 + i % 7, 2}}, i)));
  manifest::ExpertSet set = setOf(std::move(experts));
  auto one = compile(set, {.jobs = 1}), many = compile(set, {.jobs = 7});
  ASSERT_TRUE(one.ok() && many.ok());
  EXPECT_EQ(one->pack, many->pack);
  EXPECT_EQ(toJson(one->report), toJson(many->report));
}

TEST(Compiler, PackedParametersComputeWhatTheReportMeasured) {
  manifest::ExpertSet set = threeExperts();
  auto test = std::make_shared<FannData>();
  test->inputs = randomRows(100, 3, 5);
  test->outputs = fann::evaluate(set.experts[1].network, test->inputs);
  set.experts[1].test = test;
  auto output = compile(set);
  ASSERT_TRUE(output.ok());
  auto contents = pack::readContents(output->pack);
  ASSERT_TRUE(contents.ok());
  auto signature = quant::decodeSignature(contents->signatures[contents->experts[1].kernel]);
  ASSERT_TRUE(signature.ok());
  Matrix actual = runCompiled(*signature, contents->experts[1].parameters, test->inputs);
  Matrix expected = fann::evaluate(set.experts[1].network, test->inputs);
  double largest = 0;
  for (std::size_t i = 0; i < actual.values.size(); ++i)
    largest = std::max<double>(largest, std::fabs(static_cast<double>(actual.values[i]) - expected.values[i]));
  EXPECT_EQ(largest, output->report.experts[1].maxError);
}

manifest::ExpertSet routedExperts() {
  manifest::ExpertSet set = threeExperts();
  set.router.emplace();
  set.router->experts = {2, 0};
  set.router->network = makeNetwork({.sizes = {4, 6, 2}}, 9);
  set.router->calibration = std::make_shared<const Matrix>(randomRows(50, 4, 1));
  return set;
}

TEST(Compiler, RoutedExpertsComeFirstAndTheRouterLast) {
  auto output = compile(routedExperts());
  ASSERT_TRUE(output.ok()) << output.error().message();
  std::vector<std::string> ids;
  for (const ExpertReport &expert : output->report.experts)
    ids.push_back(expert.id);
  EXPECT_THAT(ids, ::testing::ElementsAre("c", "a", "b", "router"));
}

TEST(Compiler, RouterRecordSaysWhichExpertsItChoosesFrom) {
  auto output = compile(routedExperts());
  ASSERT_TRUE(output.ok());
  auto contents = pack::readContents(output->pack);
  ASSERT_TRUE(contents.ok());
  ASSERT_TRUE(contents->router);
  EXPECT_EQ(contents->router->routed, 2u);
}

TEST(Compiler, TheRoutersKernelIsTheFirst) {
  auto output = compile(routedExperts());
  ASSERT_TRUE(output.ok());
  EXPECT_EQ(output->report.experts.back().kernelId, 0u);
}

TEST(Compiler, MetadataNameTheExpertsByTheirNumbers) {
  auto output = compile(routedExperts());
  ASSERT_TRUE(output.ok());
  auto contents = pack::readContents(output->pack);
  ASSERT_TRUE(contents.ok());
  EXPECT_THAT(contents->meta, HasSubstr(R"("experts":[{"id":"c","name":"c","domain":"Reasoning")"));
}

//===--------------------------------------------------------------------===//
// Reports
//===--------------------------------------------------------------------===//

TEST(Compiler, AccuracyIsThatOfTheTestData) {
  manifest::Expert expert = makeExpert("e", makeNetwork({.sizes = {2, 4, 3}}, 1));
  auto test = std::make_shared<FannData>();
  test->inputs = randomRows(100, 2, 5);
  Matrix answers = fann::evaluate(expert.network, test->inputs);
  test->outputs = Matrix{100, 3, std::vector<float>(300, -1)};
  for (std::size_t r = 0; r < 100; ++r) // half of the rows have the class that the network gives them
    test->outputs.row(r)[(std::max_element(answers.row(r).begin(), answers.row(r).end()) - answers.row(r).begin() +
                          static_cast<std::ptrdiff_t>(r % 2)) %
                         3] = 1;
  expert.test = test;
  auto output = compile(setOf({expert}));
  ASSERT_TRUE(output.ok());
  const ExpertReport &report = output->report.experts[0];
  EXPECT_EQ(report.measuredOn, MeasuredOn::TestData);
  EXPECT_EQ(report.floatAccuracy, 0.5);
  EXPECT_GE(report.agreement, 0.997);
}

TEST(Compiler, WithoutDataTheInputRangeIsUsed) {
  manifest::Expert expert = makeExpert("e", makeNetwork({}, 1));
  expert.calibration = nullptr;
  expert.inputRange = {{-3, 3}};
  auto output = compile(setOf({expert}));
  ASSERT_TRUE(output.ok());
  EXPECT_EQ(output->report.experts[0].calibration, CalibrationSource::InputRange);
}

TEST(Compiler, WithoutAnythingTheAssumptionIsAWarning) {
  manifest::Expert expert = makeExpert("e", makeNetwork({}, 1));
  expert.calibration = nullptr;
  auto output = compile(setOf({expert}));
  ASSERT_TRUE(output.ok());
  EXPECT_THAT(output->report.experts[0].warnings,
              ::testing::ElementsAre(HasSubstr("inputs are assumed to lie in [-1, 1]")));
}

TEST(Compiler, ProgressReachesTheTotal) {
  Progress last;
  CompileOptions options;
  options.jobs = 2;
  options.progress = [&](const Progress &progress) {
    if (progress.step == Progress::Step::Experts)
      last = progress;
  };
  ASSERT_TRUE(compile(threeExperts(), options).ok());
  EXPECT_EQ(last.done, 3u);
  EXPECT_EQ(last.total, 3u);
}

//===--------------------------------------------------------------------===//
// Stopping
//===--------------------------------------------------------------------===//

class StopAfter : public ::testing::TestWithParam<std::pair<Phase, const char *>> {};

TEST_P(StopAfter, GivesTheIrOfThePhase) {
  CompileOptions options;
  options.stopAfter = GetParam().first;
  auto output = compile(threeExperts(), options);
  ASSERT_TRUE(output.ok()) << output.error().message();
  EXPECT_TRUE(output->pack.empty());
  EXPECT_THAT(output->ir, HasSubstr(GetParam().second));
}

INSTANTIATE_TEST_SUITE_P(Phases, StopAfter,
                         ::testing::Values(std::pair(Phase::Import, "steepness("),
                                           std::pair(Phase::Normalize, "limit("), std::pair(Phase::Calibrate, "range("),
                                           std::pair(Phase::Quantize, "qexpert.quantize"),
                                           std::pair(Phase::Pack, "qexpert.expert @a signature("),
                                           std::pair(Phase::Outline, "qexpert.kernel"),
                                           std::pair(Phase::Lower, "wasm.func")),
                         [](const auto &info) { return std::string(nameOf(info.param.first)); });

TEST(Compiler, IrTreeHasAFilePerExpertAndPhase) {
  std::string folder = ::testing::TempDir() + "kimic-ir-tree";
  std::filesystem::remove_all(folder);
  CompileOptions options;
  options.irTreeDir = folder;
  ASSERT_TRUE(compile(threeExperts(), options).ok());
  EXPECT_TRUE(std::filesystem::exists(folder + "/b/1-import.mlir"));
  EXPECT_TRUE(std::filesystem::exists(folder + "/b/6-outline.mlir"));
  EXPECT_TRUE(std::filesystem::exists(folder + "/kernels/7-lower-simd128.mlir"));
  std::filesystem::remove_all(folder);
}

/// A set that 8 bits do not suffice for.
manifest::ExpertSet demandingExpert() {
  manifest::ExpertSet set = setOf({makeExpert("a", makeNetwork({.sizes = {4, 8, 2}}, 1))});
  set.experts[0].accuracy.minSqnrDb = 75;
  return set;
}

TEST(Compiler, IrThatIsShownHasThePrecisionThatIsShipped) {
  auto shipped = compile(demandingExpert());
  ASSERT_TRUE(shipped.ok()) << shipped.error().message();
  const std::string kernel = shipped->report.kernels[0].name;
  ASSERT_THAT(kernel, ::testing::StartsWith("w16a14_"));
  auto stopped = compile(demandingExpert(), {.stopAfter = Phase::Outline});
  ASSERT_TRUE(stopped.ok()) << stopped.error().message();
  EXPECT_THAT(stopped->ir, HasSubstr("@\"" + kernel + "\""));
}

TEST(Compiler, IrTreeShowsThePrecisionThatIsShipped) {
  // A second try was for a wish, and cost too much.
  manifest::ExpertSet set = setOf({makeExpert("a", makeNetwork({.sizes = {4, 8, 2}, .gain = 30}, 4))});
  std::string folder = ::testing::TempDir() + "kimic-ir-tree-shipped";
  std::filesystem::remove_all(folder);
  CompileOptions options;
  options.irTreeDir = folder;
  auto output = compile(set, options);
  ASSERT_TRUE(output.ok()) << output.error().message();
  ASSERT_LT(output->report.experts[0].sqnrDb, 40);
  std::ifstream file(folder + "/a/6-outline.mlir");
  std::string ir{std::istreambuf_iterator<char>(file), {}};
  EXPECT_THAT(ir, HasSubstr("@\"" + output->report.kernels[0].name + "\""));
  std::filesystem::remove_all(folder);
}

TEST(Compiler, IrOfAnExpertThatMissesItsBudgetIsShown) {
  manifest::ExpertSet set = demandingExpert();
  set.experts[0].accuracy.maxError = 1e-12f;
  auto stopped = compile(set, {.stopAfter = Phase::Outline});
  ASSERT_TRUE(stopped.ok()) << stopped.error().message();
  EXPECT_THAT(stopped->ir, HasSubstr("@\"f32_"));
}

TEST(Compiler, IrTreeThatCannotBeWrittenIsAnError) {
  CompileOptions options;
  options.irTreeDir = "/dev/null/tree";
  auto output = compile(threeExperts(), options);
  ASSERT_FALSE(output.ok());
  EXPECT_EQ(output.error().id, ErrorId::IrTreeNotWritable);
}

TEST(Compiler, CancelledCompilationIsAnError) {
  std::atomic<bool> cancelled = true;
  CompileOptions options;
  options.cancelled = &cancelled;
  auto output = compile(threeExperts(), options);
  ASSERT_FALSE(output.ok());
  EXPECT_EQ(output.error().id, ErrorId::CompilationCancelled);
}

/// Cancels at its first byte.
class CancellingOutput : public PackOutput {
public:
  explicit CancellingOutput(std::atomic<bool> &cancelled) : cancelled_(cancelled) {}
  Result<void, Diagnostic> append(std::span<const std::uint8_t>) override {
    cancelled_ = true;
    return {};
  }
  Result<std::span<const std::uint8_t>, Diagnostic> written() override {
    ADD_FAILURE() << "the pack was written to its end";
    return std::span<const std::uint8_t>();
  }

private:
  std::atomic<bool> &cancelled_;
};

TEST(Compiler, WritingThePackIsCancelled) {
  std::atomic<bool> cancelled = false;
  CompileOptions options;
  options.cancelled = &cancelled;
  CancellingOutput output(cancelled);
  auto compiled = compile(threeExperts(), options, &output);
  ASSERT_FALSE(compiled.ok());
  EXPECT_EQ(compiled.error().id, ErrorId::CompilationCancelled);
}

TEST(Compiler, PhasesAreFoundByName) {
  for (Phase phase : allPhases())
    EXPECT_EQ(phaseNamed(nameOf(phase)), phase);
  EXPECT_EQ(phaseNamed("link"), std::nullopt);
}

//===--------------------------------------------------------------------===//
// Errors
//===--------------------------------------------------------------------===//

TEST(Compiler, NetworkThatOverflowsIsRefusedByName) {
  manifest::ExpertSet set = threeExperts();
  for (fann::Connection &connection : set.experts[1].network.connections)
    connection.weight = 3e38f;
  auto output = compile(set);
  ASSERT_FALSE(output.ok());
  EXPECT_EQ(output.error().id, ErrorId::ExpertNotCompilable);
  EXPECT_EQ(output.error().key, "b");
  EXPECT_THAT(output.error().found, HasSubstr("leaves float32"));
}

TEST(Compiler, FirstErrorIsTheSameForEveryNumberOfThreads) {
  manifest::ExpertSet set = threeExperts();
  for (std::size_t i : {0, 2})
    for (fann::Connection &connection : set.experts[i].network.connections)
      connection.weight = 3e38f;
  for (unsigned jobs : {1u, 3u}) {
    auto output = compile(set, {.jobs = jobs});
    ASSERT_FALSE(output.ok());
    EXPECT_EQ(output.error().key, "a");
  }
}

TEST(Compiler, MissedBudgetIsAnErrorWithTheJsonPath) {
  manifest::ExpertSet set = threeExperts();
  set.experts[1].accuracy.maxError = 1e-12f;
  auto output = compile(set);
  ASSERT_FALSE(output.ok());
  EXPECT_EQ(output.error().id, ErrorId::AccuracyBudgetMissed);
  EXPECT_EQ(output.error().key, "experts[1].accuracy.max_error");
}

TEST(Compiler, MissedBudgetIsAWarningOnRequest) {
  manifest::ExpertSet set = threeExperts();
  set.experts[1].accuracy.maxError = 1e-12f;
  CompileOptions options;
  options.enforceBudgets = false;
  auto output = compile(set, options);
  ASSERT_TRUE(output.ok());
  EXPECT_THAT(output->report.experts[1].warnings, ::testing::ElementsAre(HasSubstr("misses its accuracy budget")));
}

} // namespace
