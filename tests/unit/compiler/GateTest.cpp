// Budgets, the choice of a precision and the errors of experts that have none.
#include "compiler/Pipeline/Gate.h"

#include "compiler/Pipeline/Measure.h"
#include "formats/fann/Evaluator.h"
#include "tests/unit/compiler/TestNetworks.h"

#include <gmock/gmock.h>

using namespace kimic;
using namespace kimic::test;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

namespace {

//===--------------------------------------------------------------------===//
// Limits
//===--------------------------------------------------------------------===//

Measurement classification(double agreement, double floatAccuracy = 0.9, double compiledAccuracy = 0.9) {
  Measurement m;
  m.agreement = agreement;
  m.floatAccuracy = floatAccuracy;
  m.compiledAccuracy = compiledAccuracy;
  return m;
}

TEST(Gate, ClassificationMustAgreeAndNotDropByDefault) {
  auto budget = defaultBudget(classification(1));
  EXPECT_EQ(budget.minAgreement, 0.997f);
  EXPECT_EQ(budget.maxDrop, 0.0025f);
  EXPECT_FALSE(budget.minSqnrDb);
}

TEST(Gate, RegressionMayRiseByOnePercentByDefault) {
  Measurement m;
  m.floatNmse = 0.5;
  m.compiledNmse = 0.5;
  EXPECT_EQ(defaultBudget(m).maxNmseRise, 0.01f);
}

TEST(Gate, RouterMustChooseAlikeByDefault) {
  Measurement m = classification(1);
  m.kl = 0;
  m.topKAgreement = 1;
  auto budget = defaultBudget(m);
  EXPECT_EQ(budget.maxKl, 1e-5f);
  EXPECT_EQ(budget.minTopKAgreement, 0.999f);
  EXPECT_FALSE(budget.minAgreement);
}

TEST(Gate, WhereNothingElseIsKnownTheSignalCountsByDefault) { EXPECT_EQ(defaultBudget({}).minSqnrDb, 38.0f); }

TEST(Gate, ALimitThatIsMetExactlyHolds) {
  manifest::AccuracyBudget budget;
  budget.minAgreement = 0.997f;
  EXPECT_FALSE(tightestLimit(budget, classification(0.997))->isMissed());
  EXPECT_TRUE(tightestLimit(budget, classification(0.9969))->isMissed());
}

TEST(Gate, ADropToTheLimitHolds) {
  manifest::AccuracyBudget budget;
  budget.maxDrop = 0.1f;
  EXPECT_FALSE(tightestLimit(budget, classification(1, 0.9, 0.8))->isMissed());
  EXPECT_TRUE(tightestLimit(budget, classification(1, 0.9, 0.79))->isMissed());
}

TEST(Gate, AGainIsNoDrop) {
  manifest::AccuracyBudget budget;
  budget.maxDrop = 0;
  EXPECT_FALSE(tightestLimit(budget, classification(1, 0.8, 0.9))->isMissed());
}

TEST(Gate, TheTightestLimitIsTheOneThatIsUsedMost) {
  manifest::AccuracyBudget budget;
  budget.minAgreement = 0.9f;
  budget.maxError = 1;
  Measurement m = classification(0.95);
  m.maxError = 0.75;
  auto tightest = tightestLimit(budget, m);
  EXPECT_STREQ(tightest->key, "max_error");
  EXPECT_EQ(tightest->used, 0.75);
}

TEST(Gate, AnErrorWithoutALimitIsNeverTooMuch) {
  Measurement m;
  m.maxError = 1e30;
  EXPECT_FALSE(tightestLimit({}, m));
}

TEST(Gate, InfiniteErrorsMissEveryLimit) {
  manifest::AccuracyBudget budget;
  budget.minSqnrDb = 1;
  Measurement m;
  m.sqnrDb = -INFINITY;
  EXPECT_TRUE(tightestLimit(budget, m)->isMissed());
}

TEST(Gate, ARiseOfNothingThatMattersIsAllowed) {
  manifest::AccuracyBudget budget;
  budget.maxNmseRise = 0.01f;
  Measurement m;
  m.floatNmse = 0;
  m.compiledNmse = 5e-7;
  EXPECT_FALSE(tightestLimit(budget, m)->isMissed());
  m.compiledNmse = 5e-6;
  EXPECT_TRUE(tightestLimit(budget, m)->isMissed());
}

//===--------------------------------------------------------------------===//
// Bootstrap
//===--------------------------------------------------------------------===//

TEST(Bootstrap, WithoutDifferencesTheIntervalIsAPoint) {
  ConfidenceInterval interval = bootstrapMean(100, 0, 0);
  EXPECT_EQ(interval.lo, 0);
  EXPECT_EQ(interval.hi, 0);
}

TEST(Bootstrap, IntervalIsTheNormalApproximationsForManyRows) {
  // 60 better and 40 worse of 1000: mean 0.02, deviation sqrt(0.1 - 0.0004) / sqrt(1000) = 0.00998.
  ConfidenceInterval interval = bootstrapMean(1000, 60, 40);
  EXPECT_NEAR(interval.lo, 0.02 - 1.96 * 0.00998, 0.002);
  EXPECT_NEAR(interval.hi, 0.02 + 1.96 * 0.00998, 0.002);
}

TEST(Bootstrap, MoreRowsThanAreDrawnNarrowTheInterval) {
  ConfidenceInterval interval = bootstrapMean(2'000'000, 120'000, 80'000);
  double deviation = std::sqrt((0.1 - 0.0004) / 2e6);
  EXPECT_NEAR(interval.hi - interval.lo, 2 * 1.96 * deviation, 0.2 * deviation);
}

//===--------------------------------------------------------------------===//
// Escalation
//===--------------------------------------------------------------------===//

manifest::ExpertSet setOf(manifest::Expert expert) {
  manifest::ExpertSet set;
  set.name = "test";
  set.experts.push_back(std::move(expert));
  return set;
}

manifest::Expert tanhExpert() { return makeExpert("e", makeNetwork({.sizes = {8, 40, 24, 4}}, 1)); }

ExpertReport reportWith(float minSqnrDb) {
  manifest::Expert expert = tanhExpert();
  expert.accuracy.minSqnrDb = minSqnrDb;
  auto output = compile(setOf(std::move(expert)));
  EXPECT_TRUE(output.ok()) << output.error().message();
  return output.ok() ? output->report.experts[0] : ExpertReport();
}

TEST(Escalation, AnEasyBudgetIsHeldBy8Bits) {
  ExpertReport report = reportWith(20);
  EXPECT_EQ(report.precision, Precision::Int8);
  EXPECT_EQ(report.tries.size(), 1u);
}

TEST(Escalation, ABudgetBeyond8BitsTakesSecondPlanesForSomeRows) {
  double int8 = reportWith(20).sqnrDb;
  ExpertReport report = reportWith(static_cast<float>(int8 + 2));
  EXPECT_EQ(report.precision, Precision::Int8Residual);
  EXPECT_GE(report.sqnrDb, int8 + 2);
  EXPECT_GT(report.tries.back().residualRows, 0u);
  EXPECT_LT(report.tries.back().residualRows, 68u);
}

TEST(Escalation, ABudgetThatNoIntegersHoldTakesFloat32) {
  ExpertReport report = reportWith(110);
  EXPECT_EQ(report.precision, Precision::Float32);
  std::vector<Precision> tried;
  for (const TryReport &entry : report.tries)
    if (tried.empty() || tried.back() != entry.precision)
      tried.push_back(entry.precision);
  EXPECT_THAT(tried, ElementsAre(Precision::Int8, Precision::Int8Residual, Precision::Int16, Precision::Float32));
}

TEST(Escalation, EveryTryButTheLastSaysWhatItMisses) {
  ExpertReport report = reportWith(110);
  for (std::size_t i = 0; i + 1 < report.tries.size(); ++i)
    EXPECT_THAT(report.tries[i].missed, HasSubstr("min_sqnr_db"));
  EXPECT_EQ(report.tries.back().missed, "");
  EXPECT_THAT(report.reason, HasSubstr("int16 misses it"));
}

TEST(Escalation, BytesGrowWithThePrecision) {
  std::uint64_t int8 = reportWith(20).weightBytes, float32 = reportWith(110).weightBytes;
  EXPECT_GT(float32, 3 * int8);
}

TEST(Escalation, AnImpossibleBudgetNamesExpertLayerAndRow) {
  manifest::Expert expert = tanhExpert();
  expert.accuracy.minSqnrDb = 1000;
  auto output = compile(setOf(std::move(expert)));
  ASSERT_FALSE(output.ok());
  EXPECT_EQ(output.error().id, ErrorId::AccuracyBudgetMissed);
  EXPECT_THAT(output.error().found, HasSubstr("(e as float32; worst in layer "));
  EXPECT_THAT(output.error().found, HasSubstr(", row "));
  EXPECT_THAT(output.error().found, HasSubstr(" on held-out data row "));
}

TEST(Escalation, TheCommandLineGoesBeforeTheManifest) {
  manifest::Expert expert = tanhExpert();
  expert.accuracy.minSqnrDb = 1000;
  CompileOptions options;
  options.budget.minSqnrDb = 20;
  EXPECT_TRUE(compile(setOf(std::move(expert)), options).ok());
}

TEST(Escalation, TheSetsBudgetHoldsForExpertsThatSayNothing) {
  manifest::ExpertSet set = setOf(tanhExpert());
  set.accuracy.minSqnrDb = 1000;
  EXPECT_FALSE(compile(set).ok());
  set.experts[0].accuracy.minSqnrDb = 20;
  EXPECT_TRUE(compile(set).ok());
}

TEST(Gate, WishesAre40DbAndNoLossOfAccuracy) {
  Measurement m = classification(1);
  m.sqnrDb = 40;
  EXPECT_EQ(wishesMetBy(m), 2u);
  m.sqnrDb = 39.9;
  EXPECT_EQ(wishesMetBy(m), 1u);
  m.compiledAccuracy = 0.89;
  EXPECT_EQ(wishesMetBy(m), 0u);
}

/// Less than 40 dB as 8 bits, because of one neuron: the sine of large sums.
manifest::Expert coarseExpert() {
  fann::Network network = makeNetwork(
      {.sizes = {8, 64, 4}, .functions = {Activation::SinSymmetric}, .output = Activation::Linear, .gain = 1}, 3);
  for (std::size_t i = 0; i < 9; ++i)
    network.connections[i].weight *= 40;
  return makeExpert("e", std::move(network));
}

TEST(Escalation, WhereNobodyStatesABudgetAFewSecondPlanesAreSpentOn40Db) {
  manifest::Expert expert = coarseExpert();
  expert.task = manifest::Task::Classification;
  auto wished = compile(setOf(expert));
  ASSERT_TRUE(wished.ok()) << wished.error().message();
  expert.accuracy.minAgreement = 0;
  auto stated = compile(setOf(expert));
  ASSERT_TRUE(stated.ok()) << stated.error().message();
  const ExpertReport &more = wished->report.experts[0], &less = stated->report.experts[0];
  EXPECT_EQ(less.precision, Precision::Int8);
  EXPECT_LT(less.sqnrDb, 40);
  EXPECT_EQ(more.precision, Precision::Int8Residual);
  EXPECT_GE(more.sqnrDb, 40);
  EXPECT_LE(more.blockBytes, 1.25 * less.blockBytes);
}

//===--------------------------------------------------------------------===//
// Rows
//===--------------------------------------------------------------------===//

TEST(Rows, AQuarterOfTheCalibrationDataIsHeldOut) {
  auto output = compile(setOf(tanhExpert()));
  ASSERT_TRUE(output.ok());
  const ExpertReport &report = output->report.experts[0];
  EXPECT_EQ(report.measuredOn, MeasuredOn::HeldOut);
  EXPECT_EQ(report.calibrationRows, 150u);
  EXPECT_EQ(report.rows, 50u);
}

TEST(Rows, TestDataThatAreTheCalibrationDataAreSplitToo) {
  manifest::Expert expert = tanhExpert();
  auto test = std::make_shared<FannData>();
  test->inputs = *expert.calibration;
  test->outputs = fann::evaluate(expert.network, test->inputs);
  expert.test = test;
  auto output = compile(setOf(std::move(expert)));
  ASSERT_TRUE(output.ok()) << output.error().message();
  EXPECT_EQ(output->report.experts[0].calibrationRows, 150u);
  EXPECT_EQ(output->report.experts[0].rows, 50u);
}

TEST(Rows, FewCalibrationRowsAreNotSplit) {
  manifest::Expert expert = tanhExpert();
  expert.calibration = std::make_shared<const Matrix>(randomRows(3, 8, 7));
  CompileOptions options;
  options.enforceBudgets = false;
  auto output = compile(setOf(std::move(expert)), options);
  ASSERT_TRUE(output.ok());
  EXPECT_EQ(output->report.experts[0].measuredOn, MeasuredOn::Generated);
  EXPECT_EQ(output->report.experts[0].calibrationRows, 3u);
}

TEST(Rows, WithoutDataGeneratedRowsAreMeasured) {
  manifest::Expert expert = tanhExpert();
  expert.calibration = nullptr;
  expert.inputRange.assign(8, {-1, 1});
  auto output = compile(setOf(std::move(expert)));
  ASSERT_TRUE(output.ok());
  EXPECT_EQ(output->report.experts[0].measuredOn, MeasuredOn::Generated);
  EXPECT_EQ(output->report.experts[0].rows, 1024u);
}

//===--------------------------------------------------------------------===//
// Routers
//===--------------------------------------------------------------------===//

TEST(Router, HasDivergenceAndAgreementAndReliability) {
  manifest::ExpertSet set;
  set.experts = {makeExpert("a", makeNetwork({.sizes = {4, 8, 2}}, 1)),
                 makeExpert("b", makeNetwork({.sizes = {4, 8, 2}}, 2))};
  set.router.emplace();
  set.router->experts = {1, 0};
  set.router->network = makeNetwork({.sizes = {4, 6, 2}}, 9);
  set.router->calibration = std::make_shared<const Matrix>(randomRows(400, 4, 1));
  auto output = compile(set);
  ASSERT_TRUE(output.ok()) << output.error().message();
  const ExpertReport &router = output->report.experts[2];
  EXPECT_LE(router.kl, 1e-5);
  EXPECT_GE(router.topKAgreement, 0.999);
  std::size_t rows = 0;
  for (const ReliabilityBin &bin : router.reliability)
    rows += bin.rows;
  EXPECT_EQ(rows, 100u);
}

//===--------------------------------------------------------------------===//
// Layers
//===--------------------------------------------------------------------===//

TEST(Layers, AllAreMeasured) {
  ExpertReport report = reportWith(20);
  ASSERT_EQ(report.layerReports.size(), 3u);
  for (const LayerReport &layer : report.layerReports) {
    EXPECT_GT(layer.sqnrDb, 20);
    EXPECT_LE(layer.worstRowSqnrDb, layer.sqnrDb);
    EXPECT_GT(layer.predictedSqnrDb, 20);
  }
}

TEST(Layers, PermutedNeuronsAreComparedWithTheirOwn) {
  // Second planes reorder neurons: values of the wrong neuron would have no signal in common.
  ExpertReport report = reportWith(static_cast<float>(reportWith(20).sqnrDb + 2));
  ASSERT_EQ(report.precision, Precision::Int8Residual);
  for (const LayerReport &layer : report.layerReports)
    EXPECT_GT(layer.sqnrDb, 30);
}

TEST(Layers, UnboundedLayersAreMeasuredInUnitsOfTheOriginal) {
  manifest::Expert expert =
      makeExpert("e", makeNetwork({.sizes = {8, 20, 3}, .functions = {Activation::LinearPieceRect}}, 1));
  auto output = compile(setOf(std::move(expert)));
  ASSERT_TRUE(output.ok()) << output.error().message();
  EXPECT_GT(output->report.experts[0].layerReports[0].sqnrDb, 30);
}

TEST(Layers, Float32LayersAreNearlyExact) {
  for (const LayerReport &layer : reportWith(110).layerReports)
    EXPECT_GT(layer.sqnrDb, 100);
}

//===--------------------------------------------------------------------===//
// Heads
//===--------------------------------------------------------------------===//

manifest::Expert headExpert(manifest::ExpertHead head, float temperature) {
  manifest::Expert expert = makeExpert("e", makeNetwork({.sizes = {8, 20, 3}, .output = Activation::Linear}, 1));
  expert.head = head;
  expert.temperature = temperature;
  return expert;
}

TEST(Heads, EachIsMeasuredAgainstTheFloatOriginalWithTheHead) {
  for (auto head : {manifest::ExpertHead::Softmax, manifest::ExpertHead::Sigmoid, manifest::ExpertHead::Argmax}) {
    auto output = compile(setOf(headExpert(head, head == manifest::ExpertHead::Argmax ? 1.0f : 2.5f)));
    ASSERT_TRUE(output.ok()) << output.error().message();
    const ExpertReport &report = output->report.experts[0];
    EXPECT_GE(report.sqnrDb, 30);
    EXPECT_GE(report.agreement, 0.997);
    EXPECT_EQ(report.outputs, head == manifest::ExpertHead::Argmax ? 1u : 3u);
  }
}

TEST(Heads, SigmoidOfOutputsThatAreNotLinearIsRefused) {
  manifest::Expert expert = makeExpert("e", makeNetwork({.sizes = {8, 20, 3}}, 1));
  expert.head = manifest::ExpertHead::Sigmoid;
  auto output = compile(setOf(std::move(expert)));
  ASSERT_FALSE(output.ok());
  EXPECT_EQ(output.error().id, ErrorId::ExpertNotCompilable);
  EXPECT_THAT(output.error().found, HasSubstr("sigmoid head"));
}

//===--------------------------------------------------------------------===//
// Reports
//===--------------------------------------------------------------------===//

TEST(WorstFirst, TheExpertNearestToItsLimitGoesFirst) {
  Report report;
  for (double error : {0.1, 0.9, 0.5}) {
    ExpertReport &expert = report.experts.emplace_back();
    expert.budget.maxError = 1;
    expert.maxError = error;
  }
  EXPECT_THAT(worstFirst(report), ElementsAre(1, 2, 0));
}

TEST(Html, TextOfTheManifestIsEscaped) {
  Report report;
  report.name = "<script>alert(1)</script> & \"more\"";
  EXPECT_THAT(toHtml(report), HasSubstr("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;more&quot;"));
  EXPECT_THAT(toHtml(report), ::testing::Not(HasSubstr("<script")));
}

TEST(Html, NumbersThatAreNotFiniteDoNotReachThePlots) {
  Report report;
  ExpertReport &expert = report.experts.emplace_back();
  expert.sqnrDb = -INFINITY;
  expert.scatter = {{NAN, 1}, {1, INFINITY}, {0, 0}};
  expert.layerReports.emplace_back().sqnrDb = NAN;
  std::string page = toHtml(report);
  EXPECT_THAT(page.substr(page.find("<svg")), ::testing::Not(HasSubstr("=\"nan")));
  EXPECT_THAT(page.substr(page.find("<svg")), ::testing::Not(HasSubstr("=\"inf")));
}

} // namespace
