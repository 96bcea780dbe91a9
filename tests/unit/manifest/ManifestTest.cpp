#include "formats/manifest/Manifest.h"

#include "formats/base/File.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace kimic::manifest {
namespace {

using testing::ElementsAre;

std::string readTestFile(const std::string &name) { return *readFile(KIMIC_TEST_DIR "/" + name, 1u << 20); }

/// The error of a text that must be refused.
Diagnostic errorOf(const std::string &text) {
  auto manifest = parseManifest(text, "experts.json");
  EXPECT_FALSE(manifest.ok()) << "accepted: " << text;
  return manifest ? Diagnostic{} : manifest.error();
}

Manifest complete() {
  auto manifest = parseManifest(readTestFile("complete.json"), "complete.json");
  EXPECT_TRUE(manifest.ok()) << manifest.error().message();
  return *manifest;
}

struct BadManifest {
  std::string fact, error, key, text;
};

std::vector<BadManifest> badManifests() {
  std::vector<BadManifest> cases;
  for (const auto &entry : nlohmann::ordered_json::parse(readTestFile("bad-manifests.json")))
    cases.push_back({entry["fact"], entry["error"], entry["key"], entry["manifest"].dump()});
  return cases;
}

class BadManifestTest : public testing::TestWithParam<BadManifest> {};

TEST_P(BadManifestTest, IsRefused) {
  Diagnostic error = errorOf(GetParam().text);
  EXPECT_EQ(nameOf(error.id), GetParam().error) << GetParam().fact;
  EXPECT_EQ(error.key, GetParam().key) << GetParam().fact;
}

INSTANTIATE_TEST_SUITE_P(Table, BadManifestTest, testing::ValuesIn(badManifests()), [](const auto &info) {
  std::string name = info.param.fact;
  for (char &c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)))
      c = '_';
  return name;
});

TEST(Manifest, ReadsEveryKeyOfAnExpert) {
  Manifest manifest = complete();
  const ExpertEntry &digits = manifest.experts[0];
  EXPECT_EQ(digits.id, "digits");
  EXPECT_EQ(digits.name, "Handwritten digits");
  EXPECT_EQ(digits.domain, Domain::Reasoning);
  EXPECT_EQ(digits.specialization, "8 x 8 images");
  EXPECT_EQ(digits.networkFile.path, "nets/digits.net");
  EXPECT_EQ(digits.networkFile.line, 13u);
  EXPECT_EQ(digits.semantics, SemanticsTag::Fann);
  EXPECT_EQ(digits.calibrationFile.path, "data/digits.npy");
  EXPECT_EQ(digits.testFile.path, "data/digits-test.npy");
  EXPECT_EQ(digits.targetsFile.path, "data/digits-targets.npy");
  EXPECT_THAT(digits.inputRange, ElementsAre(Interval{0, 16}, Interval{-1, 1}));
  EXPECT_EQ(digits.task, Task::Classification);
  EXPECT_THAT(digits.labels, ElementsAre("zero", "one"));
  EXPECT_THAT(digits.inputNames, ElementsAre("left", "right"));
  EXPECT_THAT(digits.outputNames, ElementsAre("P(zero)", "P(one)"));
  EXPECT_EQ(digits.confidenceThreshold, 0.5f);
  EXPECT_EQ(digits.accuracy.maxDrop, 0.0025f);
  EXPECT_EQ(digits.accuracy.minAgreement, 0.999f);
  EXPECT_EQ(digits.accuracy.maxError, 0.01f);
  EXPECT_EQ(digits.accuracy.minSqnrDb, 38.0f);
  EXPECT_EQ(digits.accuracy.maxNmseRise, 0.02f);
  EXPECT_EQ(digits.head, ExpertHead::Softmax);
  EXPECT_EQ(digits.temperature, 2.0f);
  EXPECT_THAT(digits.dependsOn, ElementsAre(1, 2));
  EXPECT_EQ(digits.fallback, 2u);
  EXPECT_EQ(digits.metadata, R"({"author":"Zoë"})");
}

TEST(Manifest, ReadsEveryKeyOfTheRouter) {
  Manifest manifest = complete();
  ASSERT_TRUE(manifest.router);
  const RouterEntry &router = *manifest.router;
  EXPECT_EQ(router.networkFile.path, "nets/router.net");
  EXPECT_THAT(router.experts, ElementsAre(2, 0));
  EXPECT_EQ(router.head, RouterHead::Softmax);
  EXPECT_EQ(router.temperature, 0.5f);
  EXPECT_EQ(router.topK, 2u);
  EXPECT_EQ(router.strategy, RouterStrategy::TopK);
  EXPECT_EQ(router.merge, RouterMerge::Average);
  EXPECT_EQ(router.calibrationFile.path, "data/router.data");
  EXPECT_EQ(router.testFile.path, "data/router-test.data");
  EXPECT_EQ(router.accuracy.maxKl, 1e-4f);
  EXPECT_EQ(router.accuracy.minTopKAgreement, 0.99f);
  EXPECT_EQ(router.accuracy.maxError, 0.5f);
  EXPECT_EQ(router.accuracy.minSqnrDb, 30.0f);
}

TEST(Manifest, ReadsHowARouterChooses) {
  auto manifest = parseManifest(R"({"kimic": 1, "name": "s",
      "experts": [{"id": "a", "domain": "Coding", "network": "a.net"},
                  {"id": "b", "domain": "Coding", "network": "a.net"}],
      "router": {"network": "r.net", "experts": ["b", "a"], "head": "sigmoid", "strategy": "threshold", "top_k": 2,
                 "selection_bias": [0.5, -1], "threshold": [0.25, 0.75], "scale": 2.5, "normalise": false,
                 "merge": "vote", "min_votes": 2, "fallback": "a"}})",
                                "");
  ASSERT_TRUE(manifest.ok()) << manifest.error().message();
  const RouterEntry &router = *manifest->router;
  EXPECT_EQ(router.head, RouterHead::Sigmoid);
  EXPECT_EQ(router.strategy, RouterStrategy::Threshold);
  EXPECT_EQ(router.merge, RouterMerge::Vote);
  EXPECT_THAT(router.bias, ElementsAre(0.5f, -1.0f));
  EXPECT_THAT(router.thresholds, ElementsAre(0.25f, 0.75f));
  EXPECT_EQ(router.scale, 2.5f);
  EXPECT_FALSE(router.isNormalised);
  EXPECT_EQ(router.minVotes, 2u);
  EXPECT_EQ(router.fallback, 0u);
}

TEST(Manifest, ReadsWhatAnExpertReads) {
  const Manifest manifest = complete();
  EXPECT_EQ(manifest.features, 2u);
  EXPECT_THAT(manifest.featureNames, ElementsAre("left", "right"));
  EXPECT_THAT(manifest.experts[1].reads,
              ElementsAre(Source{2, {}, 1, 2}, Source{{}, {"right"}, 0, 0}, Source{{}, {}, 0, 0}));
}

TEST(Manifest, SaysHowExpertsReadThemselves) {
  auto manifest = parseManifest(R"({"kimic": 1, "name": "s", "features": 4, "experts": [
      {"id": "a", "domain": "Coding", "network": "a.net", "reads": [{"expert": "b"}]},
      {"id": "b", "domain": "Coding", "network": "a.net", "reads": [{"features": "all"}, {"expert": "a"}]}]})",
                                "experts.json");
  ASSERT_FALSE(manifest.ok());
  EXPECT_EQ(manifest.error().message(),
            "experts.json:2: experts[0].reads: experts depend on themselves: found a -> b -> "
            "a, expected no way back to an expert");
}

TEST(Manifest, ReadsOneThresholdForAllExperts) {
  auto manifest = parseManifest(R"({"kimic": 1, "name": "s",
      "experts": [{"id": "a", "domain": "Coding", "network": "a.net"}],
      "router": {"network": "r.net", "experts": ["a"], "threshold": 0.5, "merge": "learned", "merge_weights": [3]}})",
                                "");
  ASSERT_TRUE(manifest.ok()) << manifest.error().message();
  EXPECT_THAT(manifest->router->thresholds, ElementsAre(0.5f));
  EXPECT_THAT(manifest->router->mergeWeights, ElementsAre(3.0f));
}

TEST(Manifest, ReadsTheBudgetOfTheSet) { EXPECT_EQ(complete().accuracy.minSqnrDb, 20.0f); }

TEST(Manifest, AnExpertsOwnBudgetGoesFirstAndTheSetsFillsIt) {
  Manifest manifest = complete();
  manifest.accuracy.maxKl = 7;
  AccuracyBudget budget = manifest.experts[0].accuracy.orElse(manifest.accuracy);
  EXPECT_EQ(budget.minSqnrDb, 38.0f);
  EXPECT_EQ(budget.maxKl, 7.0f);
}

TEST(Manifest, KeepsMetadataAsWritten) {
  EXPECT_EQ(complete().metadata,
            R"({"licence":"CC0-1.0","numbers":[1,-2,0.10,1e-7,18446744073709551615],"nothing":null})");
}

TEST(Manifest, NamesAnExpertByItsIdWhenItHasNoName) { EXPECT_EQ(complete().experts[1].name, "wine"); }

TEST(Manifest, StatesNothingThatTheTextDoesNotState) {
  const ExpertEntry wine = complete().experts[1];
  EXPECT_EQ(wine.semantics, SemanticsTag::Unstated);
  EXPECT_FALSE(wine.testFile.isPresent());
  EXPECT_FALSE(wine.accuracy.maxDrop.has_value());
  EXPECT_FALSE(wine.fallback.has_value());
  EXPECT_EQ(wine.confidenceThreshold, 0.0f);
  EXPECT_EQ(wine.metadata, "");
}

TEST(Manifest, RouterWithoutOptionsSendsARowToOneExpert) {
  auto manifest = parseManifest(R"({"kimic": 1, "name": "s",
      "experts": [{"id": "a", "domain": "Coding", "network": "a.net"}],
      "router": {"network": "r.net", "experts": ["a"]}})",
                                "");
  ASSERT_TRUE(manifest.ok()) << manifest.error().message();
  EXPECT_EQ(manifest->router->strategy, RouterStrategy::Top1);
  EXPECT_EQ(manifest->router->merge, RouterMerge::Weighted);
  EXPECT_EQ(manifest->router->topK, 1u);
  EXPECT_EQ(manifest->router->temperature, 1.0f);
}

TEST(Manifest, ErrorSaysFileLineKeyFoundAndExpected) {
  EXPECT_EQ(errorOf("{\"kimic\": 1,\n \"name\": \"s\",\n \"experts\": [\n  {\"id\": \"a\", \"network\": \"a.net\",\n"
                    "   \"domain\": \"Codding\"}]}")
                .message(),
            "experts.json:5: experts[0].domain: unknown domain: found \"Codding\", expected \"Coding\"");
}

TEST(Manifest, ListsAllDomainsWhenNoneIsNear) {
  EXPECT_EQ(
      errorOf(R"({"kimic": 1, "name": "s", "experts": [{"id": "a", "domain": "Xyzzy", "network": "a.net"}]})").expected,
      R"("Reasoning", "Coding", "Language", "Mathematics", "ToolUse", "Context", "Planning", "Creativity")");
}

TEST(Manifest, UnknownKeySuggestsTheNearestOne) {
  Diagnostic error = errorOf(R"({"kimic": 1, "name": "s", "experts": [{"id": "a", "Domain": "Coding"}]})");
  EXPECT_EQ(error.message(), "experts.json:1: experts[0]: unknown key: found \"Domain\", expected \"domain\"");
}

TEST(Manifest, ShowsACycle) {
  Diagnostic error = errorOf(R"({"kimic": 1, "name": "s", "experts": [
      {"id": "a", "domain": "Coding", "network": "a.net", "depends_on": ["b"]},
      {"id": "b", "domain": "Coding", "network": "a.net", "depends_on": ["a"]}]})");
  EXPECT_EQ(error.found, "a -> b -> a");
  EXPECT_EQ(error.line, 2u);
}

TEST(Manifest, FollowsALongChainOfDependencies) {
  constexpr int kLength = 20000;
  std::string text = R"({"kimic": 1, "name": "s", "experts": [)";
  for (int i = 0; i < kLength; ++i)
    text += (i ? "," : "") + std::string(R"({"id":"e)") + std::to_string(i) +
            R"(","domain":"Coding","network":"a.net","depends_on":["e)" + std::to_string((i + 1) % kLength) + "\"]}";
  EXPECT_EQ(errorOf(text + "]}").found, "e0 -> e1 -> e2 -> e3 -> e4 -> e5 -> e6 -> e7 -> ... (20000 experts)");
}

TEST(Manifest, RefusesMoreTextThanItsLimit) {
  EXPECT_EQ(errorOf(std::string(kMaxTextBytes + 1, ' ')).id, ErrorId::ManifestTooLarge);
}

TEST(Manifest, RefusesMetadataPastItsLimit) {
  Diagnostic error = errorOf(R"({"kimic": 1, "name": "s", "metadata": {"x": ")" + std::string(kMaxMetadataBytes, 'x') +
                             R"("}, "experts": []})");
  EXPECT_EQ(error.id, ErrorId::ManifestTooLarge);
  EXPECT_EQ(error.key, "metadata");
}

TEST(Manifest, RefusesTextPastItsLimit) {
  Diagnostic error = errorOf(R"({"kimic": 1, "name": ")" + std::string(kMaxStringBytes + 1, 'x') + R"("})");
  EXPECT_EQ(error.id, ErrorId::ManifestTooLarge);
  EXPECT_EQ(error.key, "name");
}

} // namespace
} // namespace kimic::manifest
