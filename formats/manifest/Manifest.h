// The manifest of an expert set, `experts.json`, as its text says it: every field checked, no file opened.
//
// formats/spec/experts.schema.json is the JSON Schema of the same format. What a schema cannot say is checked here
// (unknown experts, repeated ids, cycles); what needs the networks and the data is checked by ExpertSet.h.
#pragma once

#include "formats/base/Diagnostic.h"
#include "formats/base/Domain.h"
#include "formats/base/Result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kimic::manifest {

/// Limits of a manifest. More is refused before memory is spent on it.
inline constexpr std::size_t kMaxTextBytes = 256u << 20;
inline constexpr std::size_t kMaxExperts = 1u << 20; ///< so many have room in the text; a pack takes 2^24
inline constexpr std::size_t kMaxValues = 8u << 20;  ///< of JSON: memory is some 100 bytes for each
inline constexpr std::size_t kMaxElements = 65536;   ///< of any other list
inline constexpr std::size_t kMaxFeatures = 65536;   ///< of a request
inline constexpr std::size_t kMaxSources = 255;      ///< that an expert reads
inline constexpr std::size_t kMaxNeeds = 255;        ///< experts that one expert needs
inline constexpr std::size_t kMaxPlanLevel = 16;     ///< of experts that read each other
inline constexpr std::size_t kMaxDepth = 32;         ///< nesting of JSON values
inline constexpr std::size_t kMaxIdBytes = 64;
inline constexpr std::size_t kMaxStringBytes = 4096;        ///< any string outside `metadata`
inline constexpr std::size_t kMaxMetadataBytes = 64u << 10; ///< one `metadata` value as compact JSON

/// The id that the router's own network has in a pack; an expert cannot take it.
inline constexpr std::string_view kRouterId = "router";

/// A file that the manifest names, relative to the manifest's folder and never outside it.
struct FileReference {
  std::string path; ///< as written, with '/' between folders; empty if the key is absent
  std::uint32_t line = 0;

  bool isPresent() const { return !path.empty(); }
};

/// lo < hi, both finite.
struct Interval {
  float lo = 0;
  float hi = 0;
  friend bool operator==(const Interval &, const Interval &) = default;
};

enum class Task : std::uint8_t { Unstated, Classification, Regression };

/// Which library's arithmetic the network file must have.
enum class SemanticsTag : std::uint8_t { Unstated, Fann, RuvFann };

/// What the compiled expert may lose against its float original, on rows that it was not calibrated with. An absent
/// number is left to the next one who may say it: command line, expert, set, compiler (docs/accuracy.md).
struct AccuracyBudget {
  std::optional<float> maxDrop;          ///< loss of accuracy on the test data, a fraction: 0.005 is half a point
  std::optional<float> minAgreement;     ///< fraction of rows on which both choose the same class
  std::optional<float> maxError;         ///< largest absolute difference of any output
  std::optional<float> minSqnrDb;        ///< signal to quantization noise ratio of the outputs, in dB
  std::optional<float> maxNmseRise;      ///< rise of the normalized mean squared error on the test data: 0.01 is 1 %
  std::optional<float> maxKl;            ///< router: mean KL divergence of its scores, in nats
  std::optional<float> minTopKAgreement; ///< router: fraction of rows on which both choose the same experts

  /// These limits, and those of `other` where there is none.
  AccuracyBudget orElse(const AccuracyBudget &other) const;
};

/// The fields that an expert and the router have in common.
struct NetworkEntry {
  FileReference networkFile;
  SemanticsTag semantics = SemanticsTag::Unstated;
  FileReference calibrationFile;    ///< `.data` (its inputs) or `.npy`
  FileReference testFile;           ///< `.data`, or `.npy` inputs with targetsFile
  FileReference targetsFile;        ///< `.npy`; present exactly if testFile is `.npy`
  std::vector<Interval> inputRange; ///< empty, one for all inputs, or one for each input
  std::uint32_t line = 0;           ///< where the entry starts
};

/// What an expert makes of its network's outputs.
enum class ExpertHead : std::uint8_t {
  None,    ///< they are its outputs
  Softmax, ///< softmax(outputs / temperature)
  Argmax,  ///< one output: the index of the largest
  Sigmoid, ///< 1 / (1 + exp(-output / temperature)) of each
};

/// Numbers that an expert reads. In what parseManifest() returns they may be said by names, or be all that there are;
/// check() makes them ranges.
struct Source {
  std::optional<std::uint32_t> expert; ///< index into Manifest::experts, of whose outputs; none: of the request
  std::vector<std::string> names;      ///< empty: those from `first` on
  std::uint32_t first = 0, count = 0;  ///< count 0: to the last one
  friend bool operator==(const Source &, const Source &) = default;
};

struct ExpertEntry : NetworkEntry {
  std::string id;   ///< [A-Za-z0-9_][A-Za-z0-9_.-]*, unique in the set, never kRouterId
  std::string name; ///< for people; the id if the manifest has none
  Domain domain = Domain::Reasoning;
  std::string specialization;
  Task task = Task::Unstated;
  std::vector<std::string> labels;      ///< of the outputs; for one output also two: below and above the threshold
  std::vector<std::string> inputNames;  ///< key `inputs`
  std::vector<std::string> outputNames; ///< key `outputs`
  ExpertHead head = ExpertHead::None;
  float temperature = 1;         ///< of Softmax and Sigmoid, > 0
  float confidenceThreshold = 0; ///< 0..1
  AccuracyBudget accuracy;
  std::vector<std::uint32_t> dependsOn;  ///< indices into Manifest::experts, in the order written; free of cycles
  std::vector<Source> reads;             ///< what its inputs are put together from; empty: the request; free of cycles
  std::optional<std::uint32_t> fallback; ///< index of the expert that stands in for this one; chains end
  std::string metadata;                  ///< a JSON object as compact text; empty if absent
};

enum class RouterHead : std::uint8_t { Softmax = 0, Sigmoid = 1, ProductKeys = 2 };
enum class RouterStrategy : std::uint8_t { Top1 = 0, TopK = 1, Threshold = 2 };
enum class RouterMerge : std::uint8_t { Average = 0, Weighted = 1, Best = 2, Learned = 3, Vote = 4, Cascade = 5 };

struct RouterEntry : NetworkEntry {
  std::vector<std::uint32_t> experts; ///< indices into Manifest::experts, in the order of the router's outputs
  RouterHead head = RouterHead::Softmax;
  RouterStrategy strategy = RouterStrategy::Top1;
  RouterMerge merge = RouterMerge::Weighted;
  std::uint32_t topK = 1;                ///< 1 .. experts.size(); 1 for Top1
  float temperature = 1;                 ///< > 0: divides the network's outputs
  std::vector<float> bias;               ///< key `selection_bias`: empty, or one for each expert
  std::vector<float> mergeWeights;       ///< one for each expert, > 0; empty unless merge is Learned
  std::vector<float> thresholds;         ///< of scores, 0..1: empty, one for all experts, or one for each
  std::uint32_t minVotes = 0;            ///< 1 .. topK with Vote, else 0
  float scale = 1;                       ///< > 0: of the weights
  bool isNormalised = true;              ///< weights are shares of the chosen experts
  std::optional<std::uint32_t> fallback; ///< index of the expert that answers when the router abstains
  AccuracyBudget accuracy;
};

struct Manifest {
  std::string name;
  std::vector<ExpertEntry> experts; ///< at least one, in the order written
  std::optional<RouterEntry> router;
  std::uint32_t features = 0;            ///< numbers in a request; 0 if the manifest does not say
  std::vector<std::string> featureNames; ///< empty, or as many
  AccuracyBudget accuracy;               ///< of all experts that do not say otherwise
  FileReference routingFile;             ///< key `routing_data`: a trace, by which the pack is laid out
  std::string metadata;                  ///< as in ExpertEntry
};

/// Reads the text of a manifest. `fileName` only goes into errors, whose key is the JSON path (`experts[3].domain`).
/// Memory stays proportional to the text's length.
Result<Manifest, Diagnostic> parseManifest(std::string_view text, const std::string &fileName);

} // namespace kimic::manifest
