#include "formats/manifest/ExpertSet.h"

#include "formats/base/File.h"

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <gmock/gmock.h>

namespace kimic::manifest {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

/// A fully connected FANN network without hidden neurons; all weights 0.5.
std::string fannText(unsigned inputs, unsigned outputs) {
  std::string text = "FANN_FLO_2.1\nnum_layers=2\nlayer_sizes=" + std::to_string(inputs + 1) + " " +
                     std::to_string(outputs + 1) + "\nneurons (num_inputs, activation_function, activation_steepness)=";
  for (unsigned i = 0; i <= inputs; ++i)
    text += "(0, 0, 0) ";
  for (unsigned o = 0; o < outputs; ++o)
    text += "(" + std::to_string(inputs + 1) + ", 5, 0.5) ";
  text += "(0, 5, 0) \nconnections (connected_to_neuron, weight)=";
  for (unsigned o = 0; o < outputs; ++o)
    for (unsigned i = 0; i <= inputs; ++i)
      text += "(" + std::to_string(i) + ", 0.5) ";
  return text + "\n";
}

std::string fannData(unsigned rows, unsigned inputs, unsigned outputs) {
  std::string text = std::to_string(rows) + " " + std::to_string(inputs) + " " + std::to_string(outputs) + "\n";
  for (unsigned i = 0; i < rows * (inputs + outputs); ++i)
    text += std::to_string(i) + "\n";
  return text;
}

/// A version 1 `.npy` of zeros.
std::string npy(unsigned rows, unsigned cols) {
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(rows) + ", " +
                       std::to_string(cols) + "), }";
  header.resize(117, ' ');
  header += '\n';
  return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(header.size()) + '\0' + header +
         std::string(rows * cols * 4, '\0');
}

std::string oneExpert(const std::string &keys) {
  return R"({"kimic": 1, "name": "s", "experts": [{"id": "a", "domain": "Coding", "network": "a.net")" + keys + "}]}";
}

/// A folder with networks of several shapes, in which each test writes its manifest.
class ExpertSetTest : public testing::Test {
protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "kimic-expert-set-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    write("a.net", fannText(40, 25));
    write("same.net", fannText(40, 25));
    write("narrow.net", fannText(40, 1));
    write("router.net", fannText(40, 2));
    write("fits.data", fannData(3, 40, 25));
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void write(const std::string &name, const std::string &bytes) {
    ASSERT_TRUE(writeFileAtomically(folder_ + "/" + name, bytes, true).ok());
  }

  Result<ExpertSet, Diagnostic> read(const std::string &manifest, ReadOptions options = {}) {
    write("experts.json", manifest);
    return readManifest(folder_ + "/experts.json", options);
  }

  /// Of a set that must be read.
  ExpertSet setOf(const std::string &manifest) {
    auto set = read(manifest);
    EXPECT_TRUE(set.ok()) << set.error().message();
    return set ? *set : ExpertSet{};
  }

  /// The message of the error of a set that must be refused, without the folder.
  std::string errorOf(const std::string &manifest, ReadOptions options = {}) {
    auto set = read(manifest, options);
    EXPECT_FALSE(set.ok()) << "accepted";
    return set ? "" : set.error().message().substr(folder_.size() + 1);
  }

  std::string folder_;
};

TEST_F(ExpertSetTest, ReadsNetworksWithTheirData) {
  ExpertSet set = setOf(oneExpert(R"(, "calibration": "fits.data", "test": "fits.data")"));
  ASSERT_EQ(set.experts.size(), 1u);
  const Expert &expert = set.experts[0];
  EXPECT_EQ(expert.network.numInputs, 40u);
  EXPECT_EQ(parameterCount(expert.network), 41u * 25u);
  EXPECT_EQ(expert.calibration->rows, 3u);
  EXPECT_EQ(expert.test->outputs.cols, 25u);
  EXPECT_THAT(set.warnings, IsEmpty());
}

TEST_F(ExpertSetTest, ReadsAFileOnceForAllThatNameIt) {
  ExpertSet set = setOf(oneExpert(R"(, "calibration": "fits.data", "test": "fits.data")"));
  EXPECT_EQ(set.experts[0].calibration.get(), &set.experts[0].test->inputs);
}

TEST_F(ExpertSetTest, FindsTheManifestInAFolder) {
  write("experts.json", oneExpert(""));
  EXPECT_TRUE(readManifest(folder_).ok());
}

TEST_F(ExpertSetTest, ReadsNumpyTestsWithTheirTargets) {
  write("x.npy", npy(2, 40));
  write("y.npy", npy(2, 25));
  ExpertSet set = setOf(oneExpert(R"(, "calibration": "x.npy", "test": "x.npy", "test_targets": "y.npy")"));
  EXPECT_EQ(set.experts[0].test->inputs.rows, 2u);
  EXPECT_EQ(set.experts[0].test->outputs.cols, 25u);
}

TEST_F(ExpertSetTest, OneInputRangeServesAllInputs) {
  ExpertSet set = setOf(oneExpert(R"(, "input_range": [-1, 1])"));
  EXPECT_EQ(set.experts[0].inputRange, std::vector<Interval>(40, Interval{-1, 1}));
}

TEST_F(ExpertSetTest, TwoLabelsMayNameTheSidesOfOneOutput) {
  setOf(R"({"kimic": 1, "name": "s", "experts": [
      {"id": "a", "domain": "Coding", "network": "narrow.net", "labels": ["no", "yes"]}]})");
}

TEST_F(ExpertSetTest, ErrorIsThatOfTheFirstExpertWithAnyNumberOfThreads) {
  std::string experts;
  for (int i = 0; i < 20; ++i)
    experts += (i ? "," : "") + std::string(R"({"id": "e)") + std::to_string(i) +
               R"(", "domain": "Coding", "network": ")" + (i < 3 ? "a" : "missing") + ".net\"}";
  EXPECT_THAT(errorOf(R"({"kimic": 1, "name": "s", "experts": [)" + experts + "]}", {.jobs = 8}),
              testing::StartsWith("experts.json:1: experts[3].network: file does not exist"));
}

TEST_F(ExpertSetTest, MissingManifestIsRefused) {
  auto set = readManifest(folder_ + "/none.json");
  ASSERT_FALSE(set.ok());
  EXPECT_EQ(set.error().id, ErrorId::FileNotFound);
}

TEST_F(ExpertSetTest, MissingNetworkIsTheManifestsError) {
  EXPECT_EQ(errorOf(R"({"kimic": 1, "name": "s",
 "experts": [{"id": "a", "domain": "Coding", "network": "nets/b.net"}]})"),
            "experts.json:2: experts[0].network: file does not exist: found \"nets/b.net\", "
            "expected a file in the manifest's folder");
}

TEST_F(ExpertSetTest, MissingTestTargetsAreTheManifestsError) {
  write("x.npy", npy(2, 40));
  EXPECT_THAT(errorOf(oneExpert(R"(, "test": "x.npy", "test_targets": "y.npy")")),
              testing::StartsWith("experts.json:1: experts[0].test_targets: file does not exist"));
}

TEST_F(ExpertSetTest, BrokenNetworkIsTheNetworkFilesError) {
  write("a.net", "FANN_FLO_2.1\nnum_layers=2\n");
  EXPECT_THAT(errorOf(oneExpert("")), testing::StartsWith("a.net"));
}

TEST_F(ExpertSetTest, OtherSemanticsAreRefused) {
  EXPECT_EQ(errorOf(oneExpert(R"(, "semantics": "ruv-fann")")),
            "experts.json:1: experts[0].semantics: network file has other semantics: found \"fann\", expected "
            "\"ruv-fann\"");
}

TEST_F(ExpertSetTest, CalibrationWithOtherInputsIsRefused) {
  write("c.data", fannData(3, 39, 25));
  EXPECT_EQ(
      errorOf(oneExpert(R"(, "calibration": "c.data")")),
      "experts.json:1: experts[0].calibration: counts do not agree: found 39 input columns, expected 40 inputs of "
      "the network");
}

TEST_F(ExpertSetTest, CalibrationWithOtherOutputsIsRefused) {
  write("c.data", fannData(3, 40, 24));
  EXPECT_EQ(errorOf(oneExpert(R"(, "calibration": "c.data")")),
            "experts.json:1: experts[0].calibration: counts do not agree: found 24 output columns, expected 25 outputs "
            "of the network");
}

TEST_F(ExpertSetTest, TestWithOtherOutputsIsRefused) {
  write("t.data", fannData(3, 40, 24));
  EXPECT_THAT(errorOf(oneExpert(R"(, "test": "t.data")")),
              testing::StartsWith("experts.json:1: experts[0].test: counts do not agree: found 24 output columns"));
}

TEST_F(ExpertSetTest, TestTargetsWithOtherRowsAreRefused) {
  write("x.npy", npy(2, 40));
  write("y.npy", npy(3, 25));
  EXPECT_EQ(errorOf(oneExpert(R"(, "test": "x.npy", "test_targets": "y.npy")")),
            "experts.json:1: experts[0].test_targets: counts do not agree: found 3 rows, expected 2 rows, as many as "
            "there are inputs");
}

TEST_F(ExpertSetTest, WrongNumberOfLabelsIsRefused) {
  EXPECT_EQ(errorOf(oneExpert(R"(, "labels": ["x", "y", "z"])")),
            "experts.json:1: experts[0].labels: counts do not agree: found 3 labels, expected 25 outputs of the "
            "network");
}

TEST_F(ExpertSetTest, WrongNumberOfInputNamesIsRefused) {
  EXPECT_THAT(errorOf(oneExpert(R"(, "inputs": ["x"])")),
              testing::EndsWith("experts[0].inputs: counts do not agree: found 1 name, expected 40 inputs of the "
                                "network"));
}

TEST_F(ExpertSetTest, WrongNumberOfOutputNamesIsRefused) {
  EXPECT_THAT(errorOf(oneExpert(R"(, "outputs": ["x"])")),
              testing::EndsWith("experts[0].outputs: counts do not agree: found 1 name, expected 25 outputs of the "
                                "network"));
}

TEST_F(ExpertSetTest, WrongNumberOfInputRangesIsRefused) {
  EXPECT_THAT(errorOf(oneExpert(R"(, "input_range": [[0, 1], [0, 1]])")),
              testing::EndsWith("experts[0].input_range: counts do not agree: found 2 intervals, expected 40 inputs of "
                                "the network"));
}

TEST_F(ExpertSetTest, UnusualParameterCountIsAWarning) {
  ExpertSet set = setOf(R"({"kimic": 1, "name": "s", "experts": [
      {"id": "a", "domain": "Coding", "network": "narrow.net"}]})");
  EXPECT_THAT(set.warnings,
              ElementsAre(folder_ + "/experts.json:2: experts[0].network: parameter count is unusual for a "
                                    "micro-expert: found 41, expected 1000 to 100000"));
}

TEST_F(ExpertSetTest, UnusualParameterCountIsAnErrorIfStrict) {
  EXPECT_EQ(errorOf(R"({"kimic": 1, "name": "s", "experts": [
      {"id": "a", "domain": "Coding", "network": "narrow.net"}]})",
                    {.strict = true}),
            "experts.json:2: experts[0].network: parameter count is unusual for a micro-expert: found 41, expected "
            "1000 to 100000");
}

TEST_F(ExpertSetTest, FallbackOfAnotherShapeIsRefused) {
  EXPECT_THAT(errorOf(R"({"kimic": 1, "name": "s", "experts": [
      {"id": "a", "domain": "Coding", "network": "a.net", "fallback": "b"},
      {"id": "b", "domain": "Coding", "network": "narrow.net"}]})"),
              testing::StartsWith("experts.json:2: experts[0].fallback: counts do not agree: found 40 inputs and 1 "
                                  "output, expected 40 inputs and 25 outputs"));
}

/// Expert a (25 inputs) reads `reads`; b has 40 inputs and 25 outputs, of which two have names in `rest`.
std::string reading(const std::string &reads, const std::string &rest = "", const std::string &features = "40") {
  return R"({"kimic": 1, "name": "s", "features": )" + features + R"(, "experts": [
      {"id": "a", "domain": "Coding", "network": "wide.net", "reads": )" +
         reads + R"(},
      {"id": "b", "domain": "Coding", "network": "a.net")" +
         rest + "}]}";
}

class ReadsTest : public ExpertSetTest {
protected:
  void SetUp() override {
    ExpertSetTest::SetUp();
    write("wide.net", fannText(25, 40));
    write("two.net", fannText(40, 2));
  }
};

TEST_F(ReadsTest, AllOutputsAreARange) {
  EXPECT_THAT(setOf(reading(R"([{"expert": "b"}])")).experts[0].reads, ElementsAre(Source{1, {}, 0, 25}));
}

TEST_F(ReadsTest, NeighboursByNameAreOneRange) {
  const std::string two = R"({"kimic": 1, "name": "s", "features": 40, "experts": [
      {"id": "a", "domain": "Coding", "network": "wide.net",
       "reads": [{"expert": "b", "outputs": ["q", "p"]}, {"expert": "b", "outputs": ["p", "q"]},
                 {"features": [19, 40]}]},
      {"id": "b", "domain": "Coding", "network": "two.net", "outputs": ["p", "q"]}]})";
  EXPECT_THAT(setOf(two).experts[0].reads,
              ElementsAre(Source{1, {}, 1, 1}, Source{1, {}, 0, 1}, Source{1, {}, 0, 2}, Source{{}, {}, 19, 21}));
}

TEST_F(ReadsTest, ANameThatIsNotAnOutputIsRefused) {
  EXPECT_EQ(errorOf(R"({"kimic": 1, "name": "s", "features": 40, "experts": [
      {"id": "a", "domain": "Coding", "network": "wide.net", "reads": [{"expert": "b", "outputs": ["speed"]}]},
      {"id": "b", "domain": "Coding", "network": "two.net", "outputs": ["speeds", "q"]}]})"),
            "experts.json:2: experts[0].reads[0]: word is not one of those that mean something here: found \"speed\", "
            "expected \"speeds\"");
}

TEST_F(ReadsTest, NamesOfOutputsThatHaveNoneAreRefused) {
  EXPECT_EQ(errorOf(reading(R"([{"expert": "b", "outputs": ["speed"]}])")),
            "experts.json:2: experts[0].reads[0]: word is not one of those that mean something here: found \"speed\", "
            "expected a range: there are no names for the 25 outputs of b");
}

TEST_F(ReadsTest, ARangeBehindTheLastOutputIsRefused) {
  EXPECT_EQ(errorOf(reading(R"([{"expert": "b", "outputs": [1, 26]}])")),
            "experts.json:2: experts[0].reads[0]: value is out of range: found [1, 26], expected a range of the 25 "
            "outputs of b");
}

TEST_F(ReadsTest, ARangeBehindTheLastFeatureIsRefused) {
  EXPECT_EQ(errorOf(reading(R"([{"features": [16, 41]}])")),
            "experts.json:2: experts[0].reads[0]: value is out of range: found [16, 41], expected a range of the 40 "
            "features of the request");
}

TEST_F(ReadsTest, SourcesThatDoNotAddUpAreRefused) {
  EXPECT_EQ(
      errorOf(reading(R"([{"expert": "b", "outputs": [0, 9]}, {"features": [0, 15]}])")),
      "experts.json:2: experts[0].reads: counts do not agree: found 24 numbers, expected 25 inputs of the network");
}

TEST_F(ReadsTest, AnExpertThatCannotReadTheWholeRequestIsRefused) {
  EXPECT_EQ(errorOf(reading(R"([{"expert": "b"}])", "", "39")),
            "experts.json:2: experts[0].reads[0]: counts do not agree: found b with 40 inputs, expected 39 features of "
            "the request, all of which it reads");
}

TEST_F(ReadsTest, FeaturesThatAreNotTheRoutersAreRefused) {
  EXPECT_EQ(
      errorOf(R"({"kimic": 1, "name": "s", "features": 39,
      "experts": [{"id": "a", "domain": "Coding", "network": "a.net"}],
      "router": {"experts": ["a"], "network": "narrow.net"}})"),
      "experts.json:3: features: counts do not agree: found 39 features, expected 40 inputs of the router's network");
}

TEST_F(ReadsTest, RoutedExpertsMayReadOthersWhateverTheirInputs) {
  write("deep.net", fannText(25, 25));
  ExpertSet set = setOf(R"({"kimic": 1, "name": "s", "experts": [
      {"id": "a", "domain": "Coding", "network": "a.net"},
      {"id": "b", "domain": "Coding", "network": "deep.net", "reads": [{"expert": "a"}], "fallback": "a"}],
      "router": {"experts": ["a", "b"], "network": "router.net"}})");
  EXPECT_EQ(set.features, 40u);
  EXPECT_THAT(set.experts[1].reads, ElementsAre(Source{0, {}, 0, 25}));
}

TEST_F(ReadsTest, WithoutTheRouterNothingIsSaidAboutTheRequest) {
  write("deep.net", fannText(25, 25));
  Result<ExpertSet, Diagnostic> set = read(R"({"kimic": 1, "name": "s", "experts": [
      {"id": "a", "domain": "Coding", "network": "a.net"},
      {"id": "b", "domain": "Coding", "network": "deep.net", "reads": [{"expert": "a"}], "fallback": "a"}],
      "router": {"experts": ["a", "b"], "network": "router.net"}})",
                                           {.wants = [](std::string_view id) { return id != kRouterId; }});
  ASSERT_TRUE(set.ok()) << set.error().message();
  EXPECT_EQ(set->features, 0u);
  EXPECT_THAT(set->experts[1].reads, ElementsAre(Source{0, {}, 0, 25}));
}

/// Expert i reads expert i - 1 and the request.
std::string chainOf(unsigned length) {
  std::string text = R"({"kimic": 1, "name": "s", "features": 40, "experts": [)";
  for (unsigned i = 0; i < length; ++i)
    text += std::string(i ? "," : "") + R"({"id":"e)" + std::to_string(i) +
            R"(","domain":"Coding","network":"narrow.net","reads":[)" +
            (i ? R"({"expert":"e)" + std::to_string(i - 1) + R"("},{"features":[1,40]}]})"
               : std::string(R"({"features":"all"}]})"));
  return text + "]}";
}

TEST_F(ReadsTest, SixteenLevelsAreEnough) { EXPECT_EQ(setOf(chainOf(16)).experts.size(), 16u); }

TEST_F(ReadsTest, SeventeenLevelsAreRefused) {
  EXPECT_THAT(errorOf(chainOf(17)),
              testing::HasSubstr("experts[16].reads: manifest is too large: found more than 16 levels of experts"));
}

TEST_F(ReadsTest, MoreLevelsThanSixteenAreRefusedHoweverManyWaysLeadDown) {
  // Each of the experts of a layer reads all of the layer below: 8^17 ways from one of the first to the request.
  constexpr unsigned kLayers = 18, kWidth = 8;
  write("eight.net", fannText(kWidth, 1));
  std::string text = R"({"kimic": 1, "name": "s", "features": 8, "experts": [)";
  for (unsigned i = 0; i < kLayers * kWidth; ++i) {
    text += std::string(i ? "," : "") + R"({"id":"e)" + std::to_string(i) +
            R"(","domain":"Coding","network":"eight.net","reads":[)";
    const unsigned below = (i / kWidth + 1) * kWidth;
    for (unsigned k = 0; k < kWidth && below < kLayers * kWidth; ++k)
      text += std::string(k ? "," : "") + R"({"expert":"e)" + std::to_string(below + k) + R"("})";
    text += below < kLayers * kWidth ? "]}" : R"({"features":"all"}]})";
  }
  EXPECT_THAT(errorOf(text + "]}"),
              testing::HasSubstr("experts[0].reads: manifest is too large: found more than 16 levels of experts"));
}

TEST_F(ReadsTest, AnExpertThatNeedsTooManyIsRefused) {
  std::string text = R"({"kimic": 1, "name": "s", "features": 40, "experts": [)";
  for (unsigned i = 0; i < 256; ++i)
    text += R"({"id":"e)" + std::to_string(i) + R"(","domain":"Coding","network":"narrow.net"},)";
  auto reader = [](const std::string &id, unsigned first, unsigned end, const std::string &more) {
    std::string reads;
    for (unsigned i = first; i < end; ++i)
      reads += R"({"expert":"e)" + std::to_string(i) + R"("},)";
    return R"({"id":")" + id + R"(","domain":"Coding","network":"n)" + id + R"(.net","reads":[)" + reads + more + "]}";
  };
  write("nhalf.net", fannText(129, 1));
  write("nall.net", fannText(130, 1));
  text += reader("half", 0, 128, R"({"features":[0,1]})") + "," +
          reader("all", 128, 256, R"({"expert":"half"},{"features":[0,1]})") + "]}";
  EXPECT_THAT(errorOf(text),
              testing::HasSubstr("experts[257].reads: manifest is too large: found more than 255 experts, "
                                 "expected at most 255 that are needed first"));
}

/// `keys` are more ones of the router, `keysOfB` of expert b.
std::string routed(const std::string &network, const std::string &second, const std::string &keys = "",
                   const std::string &keysOfB = "") {
  return R"({"kimic": 1, "name": "s", "experts": [
      {"id": "a", "domain": "Coding", "network": "a.net"}, {"id": "c", "domain": "Coding", "network": "narrow.net"},
      {"id": "b", "domain": "Coding", "network": ")" +
         second + "\"" + keysOfB + R"(}],
      "router": {"experts": ["b", "a"], "network": ")" +
         network + "\"" + keys + "}}";
}

TEST_F(ExpertSetTest, ReadsARouter) {
  ExpertSet set = setOf(routed("router.net", "same.net"));
  ASSERT_TRUE(set.router);
  EXPECT_THAT(set.router->experts, ElementsAre(2, 0));
  EXPECT_EQ(set.router->network.numOutputs, 2u);
}

TEST_F(ExpertSetTest, RouterWithOtherOutputsIsRefused) {
  EXPECT_EQ(errorOf(routed("narrow.net", "same.net")),
            "experts.json:4: router.experts: counts do not agree: found 2 experts, expected 1 output of the router's "
            "network");
}

TEST_F(ExpertSetTest, RoutedExpertsOfDifferentShapesAreRefused) {
  EXPECT_EQ(
      errorOf(routed("router.net", "narrow.net")),
      "experts.json:4: router.experts[1]: counts do not agree: found a with 40 inputs and 25 outputs, expected 40 "
      "inputs and 1 output like b");
}

TEST_F(ExpertSetTest, RouterWithOtherInputsThanItsExpertsIsRefused) {
  write("other.net", fannText(39, 2));
  EXPECT_THAT(errorOf(routed("other.net", "same.net")),
              testing::StartsWith("experts.json:4: router.network: counts do not agree: found 39 inputs, expected 40 "
                                  "inputs"));
}

TEST_F(ExpertSetTest, ReadsAProductKeyRouterWithAnOutputForEachRowAndColumn) {
  write("grid.net", fannText(40, 3)); // one row, two columns
  EXPECT_EQ(setOf(routed("grid.net", "same.net", R"(, "head": "product-keys")")).router->network.numOutputs, 3u);
}

TEST_F(ExpertSetTest, ProductKeyRouterOfAnotherGridIsRefused) {
  EXPECT_EQ(errorOf(routed("router.net", "same.net", R"(, "head": "product-keys")")),
            "experts.json:4: router.experts: counts do not agree: found 2 experts, expected as many as rows * columns, "
            "where rows + columns are the 2 outputs of the router's network");
}

TEST_F(ExpertSetTest, VotesOfARegressionAreRefused) {
  for (const std::string merge : {"vote", "cascade"})
    EXPECT_EQ(errorOf(routed("router.net", "same.net", R"(, "merge": ")" + merge + "\"", R"(, "task": "regression")")),
              "experts.json:4: router.merge: keys do not go together: found the regression b, expected experts that "
              "classify: votes and confidences are those of classes");
}

TEST_F(ExpertSetTest, FallbackOfARouterOfAnotherShapeIsRefused) {
  EXPECT_EQ(
      errorOf(routed("router.net", "same.net", R"(, "fallback": "c")")),
      "experts.json:4: router.fallback: counts do not agree: found 40 inputs and 1 output, expected 40 inputs and "
      "25 outputs like b");
}

} // namespace
} // namespace kimic::manifest
