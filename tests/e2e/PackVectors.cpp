// Writes what a pack must compute, as the native reference does, for engines to compare with to the bit.
//
//   pack-vectors PACK OUTPUT.json
//
// {"experts": [{"expert", "inputs", "outputs", "rows", "x", "y"}],
//  "routes": [{"k", "x", "choices": [{"expert", "score", "weight"}], "scores", "explanations": {"logit", "score",
//              "selection", "threshold", "reason"}, "y"}]}; all numbers but counts, experts and reasons are f32 in
// hexadecimal, eight digits each, so that every bit is there.
#include "formats/base/Diagnostic.h"
#include "formats/base/File.h"
#include "runtime/native/NativePack.h"

#include <cstdio>
#include <cstring>
#include <random>
#include <string>

namespace {

using namespace kimic;
using runtime::NativePack;

std::string hex(std::span<const float> values) {
  std::string text = "\"";
  for (float value : values) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    char digits[9];
    std::snprintf(digits, sizeof digits, "%08x", bits);
    text += digits;
  }
  return text + "\"";
}
std::string hex(float value) { return hex({&value, 1}); }

/// One number of each explanation.
std::string hexOf(std::span<const KimicExplanation> explanations, float KimicExplanation::*number) {
  std::vector<float> values;
  for (const KimicExplanation &explanation : explanations)
    values.push_back(explanation.*number);
  return hex(values);
}

std::string textOf(std::span<const KimicExplanation> explanations) {
  std::string reasons;
  for (const KimicExplanation &explanation : explanations)
    reasons += (reasons.empty() ? "" : ", ") + std::to_string(explanation.reason);
  return "{\"logit\": " + hexOf(explanations, &KimicExplanation::logit) +
         ", \"score\": " + hexOf(explanations, &KimicExplanation::score) +
         ", \"selection\": " + hexOf(explanations, &KimicExplanation::selection) +
         ", \"threshold\": " + hexOf(explanations, &KimicExplanation::threshold) + ", \"reason\": [" + reasons + "]}";
}

class Inputs {
public:
  /// Ordinary numbers, and now and then something that only extremes reach.
  std::vector<float> take(std::size_t count) {
    const float special[] = {0.0f, -0.0f, 1e30f, -1e30f, 1e-40f, 32768.0f};
    std::vector<float> x(count);
    for (float &value : x)
      value =
          random_() % 64 ? static_cast<float>(static_cast<std::int32_t>(random_())) * 0x1p-30f : special[random_() % 6];
    return x;
  }

private:
  std::mt19937 random_{42};
};

Result<std::string> vectorsOf(NativePack &pack) {
  Inputs inputs;
  std::string text = "{\"experts\": [";
  const KimicPackInfo &info = pack.info();
  for (std::uint32_t expert = 0; expert < info.experts; ++expert) {
    KIMIC_ASSIGN(KimicExpertInfo facts, pack.expertInfo(expert));
    std::uint32_t rows = 1 + expert % 4;
    std::vector<float> x = inputs.take(std::size_t{rows} * facts.inputs);
    KIMIC_ASSIGN(std::vector<float> y, pack.run(expert, x, rows));
    text += std::string(expert ? ",\n" : "\n") + "{\"expert\": " + std::to_string(expert) +
            ", \"inputs\": " + std::to_string(facts.inputs) + ", \"outputs\": " + std::to_string(facts.outputs) +
            ", \"rows\": " + std::to_string(rows) + ", \"x\": " + hex(x) + ", \"y\": " + hex(y) + "}";
  }
  text += "],\n\"routes\": [";
  if (info.routerExpert != KIMIC_NO_EXPERT) {
    KIMIC_ASSIGN(KimicExpertInfo router, pack.expertInfo(info.routerExpert));
    for (std::uint32_t i = 0; i < 24; ++i) {
      std::uint32_t k = i % 3 == 0 ? info.topK : 1 + i % info.routedExperts;
      std::vector<float> x = inputs.take(router.inputs);
      KIMIC_ASSIGN(NativePack::RoutedRun run, pack.runRouted(x, k));
      KIMIC_ASSIGN(NativePack::Explanation explanation, pack.explain(x, k));
      text +=
          std::string(i ? ",\n" : "\n") + "{\"k\": " + std::to_string(k) + ", \"x\": " + hex(x) + ", \"choices\": [";
      for (std::size_t c = 0; c < run.route.choices.size(); ++c) {
        const KimicChoice &choice = run.route.choices[c];
        text += std::string(c ? ", " : "") + "{\"expert\": " + std::to_string(choice.expert) +
                ", \"score\": " + hex(choice.score) + ", \"weight\": " + hex(choice.weight) + "}";
      }
      text += "], \"scores\": " + hex(run.route.scores) + ", \"explanations\": " + textOf(explanation.explanations) +
              ", \"y\": " + hex(run.y) + "}";
    }
  }
  return text + "]}\n";
}

} // namespace

int main(int argc, char **argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: pack-vectors PACK OUTPUT.json\n");
    return 2;
  }
  Result<NativePack> pack = NativePack::openFile(argv[1]);
  Result<std::string> text = pack.ok() ? vectorsOf(*pack) : pack.error();
  if (!text.ok()) {
    std::fprintf(stderr, "%s: %s\n", argv[1], message(text.error()).c_str());
    return 1;
  }
  Result<void, Diagnostic> written = writeFileAtomically(argv[2], *text, true);
  if (!written.ok()) {
    std::fprintf(stderr, "%s\n", written.error().message().c_str());
    return 1;
  }
  return 0;
}
