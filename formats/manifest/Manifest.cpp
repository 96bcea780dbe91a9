#include "formats/manifest/Manifest.h"

#include "formats/manifest/Json.h"
#include "formats/manifest/Spelling.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <utility>

namespace kimic::manifest {

namespace {

using Status = Result<void, Diagnostic>;
using Words = std::vector<std::string_view>;

/// A value and its JSON path, with everything that checking it takes. Each read* function checks one kind of value.
class Value {
public:
  Value(const JsonValue &json, std::string path, const std::string &fileName)
      : json_(json), path_(std::move(path)), fileName_(fileName) {}

  const JsonValue &json() const { return json_; }
  std::uint32_t line() const { return json_.line; }

  Diagnostic error(ErrorId id, std::string found, std::string expected) const {
    return {id, fileName_, json_.line, path_, std::move(found), std::move(expected)};
  }
  Diagnostic error(ErrorId id, std::string expected) const { return error(id, describe(json_), std::move(expected)); }

  Value member(std::size_t i) const {
    const std::string &key = json_.keys[i];
    bool isPlain = key.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == key.npos && !key.empty();
    return {json_.items[i], isPlain ? (path_.empty() ? "" : path_ + ".") + key : path_ + "[" + quote(key) + "]",
            fileName_};
  }
  Value element(std::size_t i) const { return {json_.items[i], path_ + "[" + std::to_string(i) + "]", fileName_}; }

  Status readObject() const {
    if (json_.kind != JsonValue::Kind::Object)
      return error(ErrorId::ManifestWrongType, "an object");
    return {};
  }

  Status readArray(std::size_t atMost) const {
    if (json_.kind != JsonValue::Kind::Array)
      return error(ErrorId::ManifestWrongType, "an array");
    if (json_.items.empty())
      return error(ErrorId::ManifestOutOfRange, "an empty array", "at least one element");
    if (json_.items.size() > atMost)
      return error(ErrorId::ManifestTooLarge, "at most " + std::to_string(atMost) + " elements");
    return {};
  }

  /// Text for people: not empty, no control characters.
  Status readText(std::string &out, std::size_t maxBytes = kMaxStringBytes) const {
    if (json_.kind != JsonValue::Kind::String)
      return error(ErrorId::ManifestWrongType, "a string");
    if (json_.text.empty())
      return error(ErrorId::ManifestOutOfRange, "an empty string", "some text");
    if (json_.text.size() > maxBytes)
      return error(ErrorId::ManifestTooLarge, std::to_string(json_.text.size()) + " bytes",
                   "at most " + std::to_string(maxBytes));
    auto isControl = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
    if (std::any_of(json_.text.begin(), json_.text.end(), isControl))
      return error(ErrorId::ManifestOutOfRange, "text without control characters");
    out = json_.text;
    return {};
  }

  /// The index of the word in `words`.
  template <class Enum> Status readWord(Enum &out, const Words &words, ErrorId unknown) const {
    std::string word;
    KIMIC_TRY(readText(word));
    auto at = std::find(words.begin(), words.end(), word);
    if (at == words.end())
      return error(unknown, expectedWord(word, words));
    out = static_cast<Enum>(at - words.begin());
    return {};
  }

  /// A number that float32 can hold, lo <= value <= hi.
  Status readNumber(float &out, double lo, double hi, const char *expected) const {
    if (json_.kind != JsonValue::Kind::Number)
      return error(ErrorId::ManifestWrongType, expected);
    if (!(json_.number >= lo && json_.number <= hi))
      return error(ErrorId::ManifestOutOfRange, expected);
    out = static_cast<float>(json_.number);
    return {};
  }
  Status readNumber(std::optional<float> &out, double lo, double hi, const char *expected) const {
    return readNumber(out.emplace(), lo, hi, expected);
  }

  Status readCount(std::uint32_t &out, const char *expected) const {
    if (json_.kind != JsonValue::Kind::Number)
      return error(ErrorId::ManifestWrongType, expected);
    if (!(json_.number >= 1 && json_.number <= kMaxExperts && json_.number == std::floor(json_.number)))
      return error(ErrorId::ManifestOutOfRange, expected);
    out = static_cast<std::uint32_t>(json_.number);
    return {};
  }

  /// A whole number, 0 <= value <= kMaxFeatures.
  Status readIndex(std::uint32_t &out) const {
    const std::string expected = "a whole number from 0 to " + std::to_string(kMaxFeatures);
    if (json_.kind != JsonValue::Kind::Number)
      return error(ErrorId::ManifestWrongType, expected);
    if (!(json_.number >= 0 && json_.number <= kMaxFeatures && json_.number == std::floor(json_.number)))
      return error(ErrorId::ManifestOutOfRange, expected);
    out = static_cast<std::uint32_t>(json_.number);
    return {};
  }

  Status readBoolean(bool &out) const {
    if (json_.kind != JsonValue::Kind::Boolean)
      return error(ErrorId::ManifestWrongType, "true or false");
    out = json_.boolean;
    return {};
  }

  Status readId(std::string &out) const {
    constexpr const char *kExpected = "up to 64 of A-Z a-z 0-9 _ . -, beginning with a letter, a digit or _";
    if (json_.kind != JsonValue::Kind::String)
      return error(ErrorId::ManifestWrongType, "a string");
    auto isWordCharacter = [](char c) {
      return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    };
    const std::string &text = json_.text;
    bool isId =
        !text.empty() && text.size() <= kMaxIdBytes && isWordCharacter(text[0]) &&
        std::all_of(text.begin(), text.end(), [&](char c) { return isWordCharacter(c) || c == '.' || c == '-'; });
    if (!isId)
      return error(ErrorId::ManifestBadId, kExpected);
    out = text;
    return {};
  }

  Status readPath(FileReference &out) const {
    KIMIC_TRY(readText(out.path));
    out.line = json_.line;
    constexpr const char *kExpected = "a path relative to the manifest, with / between folders and without ..";
    const std::string &path = out.path;
    if (path[0] == '/' || path.find('\\') != path.npos)
      return error(ErrorId::ManifestBadPath, kExpected);
    for (std::size_t begin = 0; begin <= path.size();) {
      std::size_t end = std::min(path.find('/', begin), path.size());
      if (std::string_view(path).substr(begin, end - begin) == "..")
        return error(ErrorId::ManifestBadPath, kExpected);
      begin = end + 1;
    }
    return {};
  }

  Status readTexts(std::vector<std::string> &out) const {
    KIMIC_TRY(readArray(kMaxElements));
    for (std::size_t i = 0; i < json_.items.size(); ++i)
      KIMIC_TRY(element(i).readText(out.emplace_back()));
    return {};
  }

  Status readMetadata(std::string &out) const {
    KIMIC_TRY(readObject());
    out = compact(json_);
    if (out.size() > kMaxMetadataBytes)
      return error(ErrorId::ManifestTooLarge, std::to_string(out.size()) + " bytes",
                   "at most " + std::to_string(kMaxMetadataBytes));
    return {};
  }

  Status readInterval(Interval &out) const {
    constexpr double kMax = std::numeric_limits<float>::max();
    KIMIC_TRY(readArray(2));
    if (json_.items.size() != 2)
      return error(ErrorId::ManifestCountMismatch, "[lowest, highest]");
    KIMIC_TRY(element(0).readNumber(out.lo, -kMax, kMax, "a number that float32 can hold"));
    KIMIC_TRY(element(1).readNumber(out.hi, -kMax, kMax, "a number that float32 can hold"));
    if (!(out.lo < out.hi))
      return error(ErrorId::ManifestOutOfRange, "[" + describe(json_.items[0]) + ", " + describe(json_.items[1]) + "]",
                   "[lowest, highest]");
    return {};
  }

  Status readNumbers(std::vector<float> &out, double lo, double hi, const char *expected) const {
    KIMIC_TRY(readArray(kMaxExperts));
    for (std::size_t i = 0; i < json_.items.size(); ++i)
      KIMIC_TRY(element(i).readNumber(out.emplace_back(), lo, hi, expected));
    return {};
  }

  /// [lo, hi], or one such pair per input.
  Status readIntervals(std::vector<Interval> &out) const {
    KIMIC_TRY(readArray(kMaxElements));
    if (json_.items[0].kind != JsonValue::Kind::Array)
      return readInterval(out.emplace_back());
    for (std::size_t i = 0; i < json_.items.size(); ++i)
      KIMIC_TRY(element(i).readInterval(out.emplace_back()));
    return {};
  }

private:
  const JsonValue &json_;
  std::string path_;
  const std::string &fileName_;
};

/// What to do with each key of an object, in the order in which messages list the keys.
struct Key {
  std::string_view name;
  bool isRequired;
  std::function<Status(const Value &)> read;
};
constexpr bool kRequired = true, kOptional = false;

Status readKeys(const Value &object, const std::vector<Key> &keys) {
  KIMIC_TRY(object.readObject());
  const JsonValue &json = object.json();
  for (std::size_t i = 0; i < json.keys.size(); ++i) {
    auto key = std::find_if(keys.begin(), keys.end(), [&](const Key &k) { return k.name == json.keys[i]; });
    if (key == keys.end()) {
      Words names;
      for (const Key &k : keys)
        names.push_back(k.name);
      return object.error(ErrorId::ManifestKeyUnknown, quote(json.keys[i]), expectedWord(json.keys[i], names));
    }
    KIMIC_TRY(key->read(object.member(i)));
  }
  for (const Key &key : keys)
    if (key.isRequired && !json.find(key.name))
      return object.error(ErrorId::ManifestKeyMissing, "", quote(key.name));
  return {};
}

/// `isRouter`: a router has scores instead of classes and targets.
Status readAccuracy(const Value &value, AccuracyBudget &out, bool isRouter = false) {
  constexpr const char *kFraction = "a fraction from 0 to 1";
  constexpr const char *kPositive = "a number not below 0";
  constexpr double kMax = std::numeric_limits<float>::max();
  std::vector<Key> keys = {
      {"max_error", kOptional, [&](const Value &v) { return v.readNumber(out.maxError, 0, kMax, kPositive); }},
      {"min_sqnr_db", kOptional, [&](const Value &v) { return v.readNumber(out.minSqnrDb, 0, kMax, kPositive); }}};
  if (isRouter)
    keys.insert(keys.end(),
                {{"max_kl", kOptional, [&](const Value &v) { return v.readNumber(out.maxKl, 0, kMax, kPositive); }},
                 {"min_top_k_agreement", kOptional,
                  [&](const Value &v) { return v.readNumber(out.minTopKAgreement, 0, 1, kFraction); }}});
  else
    keys.insert(
        keys.end(),
        {{"max_drop", kOptional, [&](const Value &v) { return v.readNumber(out.maxDrop, 0, 1, kFraction); }},
         {"min_agreement", kOptional, [&](const Value &v) { return v.readNumber(out.minAgreement, 0, 1, kFraction); }},
         {"max_nmse_rise", kOptional,
          [&](const Value &v) { return v.readNumber(out.maxNmseRise, 0, kMax, kPositive); }}});
  return readKeys(value, keys);
}

std::vector<Key> networkKeys(NetworkEntry &out) {
  return {{"network", kRequired, [&](const Value &v) { return v.readPath(out.networkFile); }},
          {"semantics", kOptional,
           [&](const Value &v) -> Status {
             int index = 0;
             KIMIC_TRY(v.readWord(index, {"fann", "ruv-fann"}, ErrorId::ManifestUnknownWord));
             out.semantics = index == 0 ? SemanticsTag::Fann : SemanticsTag::RuvFann;
             return {};
           }},
          {"calibration", kOptional, [&](const Value &v) { return v.readPath(out.calibrationFile); }},
          {"test", kOptional, [&](const Value &v) { return v.readPath(out.testFile); }},
          {"test_targets", kOptional, [&](const Value &v) { return v.readPath(out.targetsFile); }},
          {"input_range", kOptional, [&](const Value &v) { return v.readIntervals(out.inputRange); }}};
}

/// `.npy` holds one array, so test inputs in that format need their targets beside them.
Status checkTestFiles(const Value &value, const NetworkEntry &entry) {
  bool isTestNpy = std::string_view(entry.testFile.path).ends_with(".npy");
  if (isTestNpy && !entry.targetsFile.isPresent())
    return value.error(ErrorId::ManifestKeyMissing, "a .npy file in \"test\"", "\"test_targets\" beside it");
  if (!isTestNpy && entry.targetsFile.isPresent())
    return value.error(ErrorId::ManifestConflict, "\"test_targets\"", "a .npy file in \"test\" beside it");
  if (isTestNpy && !std::string_view(entry.targetsFile.path).ends_with(".npy"))
    return value.error(ErrorId::ManifestConflict, quote(entry.targetsFile.path), "a .npy file in \"test_targets\"");
  return {};
}

/// References to experts are resolved when all ids are known.
struct ExpertReferences {
  std::vector<Value> dependsOn;
  std::vector<std::pair<std::size_t, Value>> reads; ///< index into ExpertEntry::reads
  std::optional<Value> fallback;
};

/// [first, end], or names.
Status readPart(const Value &value, Source &out) {
  KIMIC_TRY(value.readArray(kMaxElements));
  const std::vector<JsonValue> &items = value.json().items;
  if (items[0].kind == JsonValue::Kind::String)
    return value.readTexts(out.names);
  if (items.size() != 2)
    return value.error(ErrorId::ManifestCountMismatch, std::to_string(items.size()) + " elements",
                       "[first, end], or names");
  std::uint32_t end = 0;
  KIMIC_TRY(value.element(0).readIndex(out.first));
  KIMIC_TRY(value.element(1).readIndex(end));
  if (out.first >= end)
    return value.error(ErrorId::ManifestOutOfRange, "[" + describe(items[0]) + ", " + describe(items[1]) + "]",
                       "[first, end], the end behind the last one");
  out.count = end - out.first;
  return {};
}

Status readSource(const Value &value, Source &out, std::optional<Value> &expert) {
  KIMIC_TRY(readKeys(value, {{"features", kOptional,
                              [&](const Value &v) -> Status {
                                if (v.json().kind != JsonValue::Kind::String)
                                  return readPart(v, out);
                                int index = 0;
                                return v.readWord(index, {"all"}, ErrorId::ManifestUnknownWord);
                              }},
                             {"expert", kOptional,
                              [&](const Value &v) -> Status {
                                expert.emplace(v);
                                return {};
                              }},
                             {"outputs", kOptional, [&](const Value &v) { return readPart(v, out); }}}));
  const bool hasFeatures = value.json().find("features"), hasOutputs = value.json().find("outputs");
  if (!hasFeatures && !expert)
    return value.error(ErrorId::ManifestKeyMissing, "", "\"features\" or \"expert\"");
  if (hasFeatures && (expert || hasOutputs))
    return value.error(ErrorId::ManifestConflict, expert ? "\"expert\"" : "\"outputs\"",
                       "a source of its own beside \"features\"");
  return {};
}

/// How many features a request has, or their names.
Status readFeatures(const Value &value, Manifest &out) {
  if (value.json().kind != JsonValue::Kind::Array) {
    KIMIC_TRY(value.readIndex(out.features));
    if (out.features == 0)
      return value.error(ErrorId::ManifestOutOfRange, "at least one feature");
    return {};
  }
  KIMIC_TRY(value.readTexts(out.featureNames));
  out.features = static_cast<std::uint32_t>(out.featureNames.size());
  std::set<std::string_view> known;
  for (std::size_t i = 0; i < out.featureNames.size(); ++i)
    if (!known.insert(out.featureNames[i]).second)
      return value.element(i).error(ErrorId::ManifestConflict, "each name once");
  return {};
}

Status readExpert(const Value &value, ExpertEntry &out, ExpertReferences &references) {
  out.line = value.line();
  Words domains;
  for (unsigned i = 0; i < kDomainCount; ++i)
    domains.push_back(nameOf(static_cast<Domain>(i)));
  std::vector<Key> keys = {
      {"id", kRequired,
       [&](const Value &v) -> Status {
         KIMIC_TRY(v.readId(out.id));
         if (out.id == kRouterId)
           return v.error(ErrorId::ManifestBadId, "another id: the router's own network has this one");
         return {};
       }},
      {"name", kOptional, [&](const Value &v) { return v.readText(out.name); }},
      {"domain", kRequired,
       [&](const Value &v) { return v.readWord(out.domain, domains, ErrorId::ManifestUnknownDomain); }},
      {"specialization", kOptional, [&](const Value &v) { return v.readText(out.specialization); }},
      {"task", kOptional,
       [&](const Value &v) -> Status {
         int index = 0;
         KIMIC_TRY(v.readWord(index, {"classification", "regression"}, ErrorId::ManifestUnknownWord));
         out.task = index == 0 ? Task::Classification : Task::Regression;
         return {};
       }},
      {"labels", kOptional, [&](const Value &v) { return v.readTexts(out.labels); }},
      {"inputs", kOptional, [&](const Value &v) { return v.readTexts(out.inputNames); }},
      {"outputs", kOptional, [&](const Value &v) { return v.readTexts(out.outputNames); }},
      {"head", kOptional,
       [&](const Value &v) -> Status {
         int index = 0;
         KIMIC_TRY(v.readWord(index, {"softmax", "argmax", "sigmoid"}, ErrorId::ManifestUnknownWord));
         out.head = static_cast<ExpertHead>(index + 1);
         return {};
       }},
      {"temperature", kOptional,
       [&](const Value &v) { return v.readNumber(out.temperature, 1e-6, 1e6, "a number from 1e-6 to 1e6"); }},
      {"confidence_threshold", kOptional,
       [&](const Value &v) { return v.readNumber(out.confidenceThreshold, 0, 1, "a fraction from 0 to 1"); }},
      {"accuracy", kOptional, [&](const Value &v) { return readAccuracy(v, out.accuracy); }},
      {"depends_on", kOptional,
       [&](const Value &v) -> Status {
         KIMIC_TRY(v.readArray(kMaxExperts));
         for (std::size_t i = 0; i < v.json().items.size(); ++i)
           references.dependsOn.push_back(v.element(i));
         return {};
       }},
      {"reads", kOptional,
       [&](const Value &v) -> Status {
         KIMIC_TRY(v.readArray(kMaxSources));
         for (std::size_t i = 0; i < v.json().items.size(); ++i) {
           std::optional<Value> expert;
           KIMIC_TRY(readSource(v.element(i), out.reads.emplace_back(), expert));
           if (expert)
             references.reads.emplace_back(i, *expert);
         }
         return {};
       }},
      {"fallback", kOptional,
       [&](const Value &v) -> Status {
         references.fallback.emplace(v);
         return {};
       }},
      {"metadata", kOptional, [&](const Value &v) { return v.readMetadata(out.metadata); }}};
  std::vector<Key> shared = networkKeys(out);
  keys.insert(keys.begin() + 3, shared.begin(), shared.end());
  KIMIC_TRY(readKeys(value, keys));
  if (out.name.empty())
    out.name = out.id;
  if (out.task == Task::Regression && !out.labels.empty())
    return value.error(ErrorId::ManifestConflict, "\"labels\" of a regression", "\"outputs\" for the names of numbers");
  if (out.task == Task::Regression && out.head != ExpertHead::None)
    return value.error(ErrorId::ManifestConflict, "\"head\" of a regression", "a classification");
  if (value.json().find("temperature") && (out.head == ExpertHead::None || out.head == ExpertHead::Argmax))
    return value.error(ErrorId::ManifestConflict, "\"temperature\"", "the head \"softmax\" or \"sigmoid\" beside it");
  return checkTestFiles(value, out);
}

/// References of the router, resolved when all ids are known.
struct RouterReferences {
  std::vector<Value> experts;
  std::optional<Value> fallback;
};

/// What only some merges and heads have, and lists that have a number for each expert.
Status checkChoice(const Value &value, const RouterEntry &out, std::size_t experts) {
  for (auto [key, list] : {std::pair{"selection_bias", &out.bias}, std::pair{"merge_weights", &out.mergeWeights},
                           std::pair{"threshold", &out.thresholds}}) {
    const JsonValue *json = value.json().find(key);
    if (json && json->kind == JsonValue::Kind::Array && list->size() != experts)
      return value.error(ErrorId::ManifestCountMismatch,
                         quote(key) + " with " + std::to_string(list->size()) + " numbers",
                         std::to_string(experts) + ", one for each expert of the router");
  }
  if (out.merge == RouterMerge::Learned && out.mergeWeights.empty())
    return value.error(ErrorId::ManifestKeyMissing, "\"merge\": \"learned\"", "\"merge_weights\" beside it");
  if (out.merge != RouterMerge::Learned && !out.mergeWeights.empty())
    return value.error(ErrorId::ManifestConflict, "\"merge_weights\"", "\"merge\": \"learned\" beside it");
  if (out.merge != RouterMerge::Vote && out.minVotes != 0)
    return value.error(ErrorId::ManifestConflict, "\"min_votes\"", "\"merge\": \"vote\" beside it");
  if (out.minVotes > out.topK)
    return value.error(ErrorId::ManifestOutOfRange, "\"min_votes\" of " + std::to_string(out.minVotes),
                       "at most the " + std::to_string(out.topK) + " of \"top_k\"");
  if (out.head == RouterHead::ProductKeys && !out.bias.empty())
    return value.error(ErrorId::ManifestConflict, "\"selection_bias\"", "another head than \"product-keys\"");
  return {};
}

Status readRouter(const Value &value, RouterEntry &out, RouterReferences &references) {
  std::vector<Value> &experts = references.experts;
  out.line = value.line();
  std::optional<RouterStrategy> strategy;
  std::vector<Key> keys = networkKeys(out);
  keys.insert(
      keys.end(),
      {{"experts", kRequired,
        [&](const Value &v) -> Status {
          KIMIC_TRY(v.readArray(kMaxExperts));
          for (std::size_t i = 0; i < v.json().items.size(); ++i)
            experts.push_back(v.element(i));
          return {};
        }},
       {"head", kOptional,
        [&](const Value &v) {
          return v.readWord(out.head, {"softmax", "sigmoid", "product-keys"}, ErrorId::ManifestUnknownWord);
        }},
       {"temperature", kOptional,
        [&](const Value &v) { return v.readNumber(out.temperature, 1e-6, 1e6, "a number from 1e-6 to 1e6"); }},
       {"top_k", kOptional, [&](const Value &v) { return v.readCount(out.topK, "a number of experts, at least 1"); }},
       {"strategy", kOptional,
        [&](const Value &v) {
          return v.readWord(strategy.emplace(), {"top-1", "top-k", "threshold"}, ErrorId::ManifestUnknownWord);
        }},
       {"merge", kOptional,
        [&](const Value &v) {
          return v.readWord(out.merge, {"average", "weighted", "best", "learned", "vote", "cascade"},
                            ErrorId::ManifestUnknownWord);
        }},
       {"selection_bias", kOptional,
        [&](const Value &v) { return v.readNumbers(out.bias, -1e6, 1e6, "a number from -1e6 to 1e6"); }},
       {"merge_weights", kOptional,
        [&](const Value &v) { return v.readNumbers(out.mergeWeights, 1e-6, 1e6, "a number from 1e-6 to 1e6"); }},
       {"threshold", kOptional,
        [&](const Value &v) {
          constexpr const char *kFraction = "a fraction from 0 to 1";
          return v.json().kind == JsonValue::Kind::Array ? v.readNumbers(out.thresholds, 0, 1, kFraction)
                                                         : v.readNumber(out.thresholds.emplace_back(), 0, 1, kFraction);
        }},
       {"min_votes", kOptional,
        [&](const Value &v) { return v.readCount(out.minVotes, "a number of experts, at least 1"); }},
       {"scale", kOptional,
        [&](const Value &v) { return v.readNumber(out.scale, 1e-6, 1e6, "a number from 1e-6 to 1e6"); }},
       {"normalise", kOptional, [&](const Value &v) { return v.readBoolean(out.isNormalised); }},
       {"fallback", kOptional,
        [&](const Value &v) -> Status {
          references.fallback.emplace(v);
          return {};
        }},
       {"accuracy", kOptional, [&](const Value &v) { return readAccuracy(v, out.accuracy, /*isRouter=*/true); }}});
  KIMIC_TRY(readKeys(value, keys));
  if (out.topK > experts.size())
    return value.error(ErrorId::ManifestOutOfRange, "\"top_k\" of " + std::to_string(out.topK),
                       "at most the " + std::to_string(experts.size()) + " experts of the router");
  if (strategy == RouterStrategy::Top1 && out.topK != 1)
    return value.error(ErrorId::ManifestConflict, "\"top_k\" of " + std::to_string(out.topK) + " with \"top-1\"",
                       "\"strategy\": \"top-k\"");
  out.strategy = strategy.value_or(out.topK == 1 ? RouterStrategy::Top1 : RouterStrategy::TopK);
  KIMIC_TRY(checkChoice(value, out, experts.size()));
  return checkTestFiles(value, out);
}

using IndexOfId = std::map<std::string, std::uint32_t>;

Status resolve(const Value &reference, const IndexOfId &indices, std::uint32_t &out) {
  std::string id;
  KIMIC_TRY(reference.readId(id));
  if (id == kRouterId)
    return reference.error(ErrorId::ManifestUnknownExpert, "an expert, which the router's own network is not");
  auto at = indices.find(id);
  if (at == indices.end()) {
    Words ids;
    for (const auto &[known, index] : indices)
      ids.push_back(known);
    return reference.error(ErrorId::ManifestUnknownExpert, expectedWord(id, ids));
  }
  out = at->second;
  return {};
}

Status resolveAll(const std::vector<Value> &references, const IndexOfId &indices, std::vector<std::uint32_t> &out) {
  std::vector<bool> isListed(indices.size());
  for (const Value &reference : references) {
    std::uint32_t index = 0;
    KIMIC_TRY(resolve(reference, indices, index));
    if (isListed[index])
      return reference.error(ErrorId::ManifestRepeatedId, "each expert once");
    isListed[index] = true;
    out.push_back(index);
  }
  return {};
}

/// A cycle of `next` as indices, first = last; empty if there is none. Depth first without recursion: a chain may be as
/// long as the manifest.
std::vector<std::uint32_t> findCycle(std::size_t count,
                                     const std::function<std::vector<std::uint32_t>(std::uint32_t)> &next) {
  enum class State : std::uint8_t { New, Open, Done };
  struct Step {
    std::uint32_t node;
    std::vector<std::uint32_t> successors;
    std::size_t visited;
  };
  std::vector<State> state(count, State::New);
  for (std::uint32_t start = 0; start < count; ++start) {
    if (state[start] != State::New)
      continue;
    std::vector<Step> path{{start, next(start), 0}};
    state[start] = State::Open;
    while (!path.empty()) {
      Step &top = path.back();
      if (top.visited == top.successors.size()) {
        state[top.node] = State::Done;
        path.pop_back();
        continue;
      }
      std::uint32_t node = top.successors[top.visited++];
      if (state[node] == State::Open) {
        std::vector<std::uint32_t> cycle;
        auto begin = std::find_if(path.begin(), path.end(), [&](const Step &step) { return step.node == node; });
        for (; begin != path.end(); ++begin)
          cycle.push_back(begin->node);
        cycle.push_back(node);
        return cycle;
      }
      if (state[node] == State::New) {
        state[node] = State::Open;
        path.push_back({node, next(node), 0});
      }
    }
  }
  return {};
}

Status refuseCycle(const Manifest &manifest, const std::string &fileName, const char *key,
                   const std::vector<std::uint32_t> &cycle) {
  if (cycle.empty())
    return {};
  constexpr std::size_t kMaxShown = 8;
  std::string found;
  for (std::size_t i = 0; i < std::min(cycle.size(), kMaxShown); ++i)
    found += (i ? " -> " : "") + manifest.experts[cycle[i]].id;
  if (cycle.size() > kMaxShown)
    found += " -> ... (" + std::to_string(cycle.size() - 1) + " experts)";
  return Diagnostic{ErrorId::ManifestCycle,
                    fileName,
                    manifest.experts[cycle[0]].line,
                    "experts[" + std::to_string(cycle[0]) + "]." + key,
                    found,
                    "no way back to an expert"};
}

} // namespace

AccuracyBudget AccuracyBudget::orElse(const AccuracyBudget &other) const {
  AccuracyBudget out = *this;
  for (auto limit :
       {&AccuracyBudget::maxDrop, &AccuracyBudget::minAgreement, &AccuracyBudget::maxError, &AccuracyBudget::minSqnrDb,
        &AccuracyBudget::maxNmseRise, &AccuracyBudget::maxKl, &AccuracyBudget::minTopKAgreement})
    if (!(out.*limit))
      out.*limit = other.*limit;
  return out;
}

Result<Manifest, Diagnostic> parseManifest(std::string_view text, const std::string &fileName) {
  if (text.size() > kMaxTextBytes)
    return Diagnostic{ErrorId::ManifestTooLarge,
                      fileName,
                      0,
                      "",
                      std::to_string(text.size()) + " bytes",
                      "at most " + std::to_string(kMaxTextBytes)};
  KIMIC_ASSIGN(JsonValue json, parseJson(text, fileName, {.maxDepth = kMaxDepth, .maxValues = kMaxValues}));
  Value root(json, "", fileName);
  KIMIC_TRY(root.readObject());

  // The version goes first: under another one, everything else may mean something else.
  if (const JsonValue *version = json.find("kimic");
      version && version->kind == JsonValue::Kind::Number && version->number != 1)
    return Value(*version, "kimic", fileName).error(ErrorId::ManifestVersionUnsupported, "1");

  Manifest manifest;
  std::vector<ExpertReferences> references;
  RouterReferences router;
  IndexOfId indices;
  auto readExperts = [&](const Value &list) -> Status {
    KIMIC_TRY(list.readArray(kMaxExperts));
    for (std::uint32_t i = 0; i < list.json().items.size(); ++i) {
      Value value = list.element(i);
      ExpertEntry &expert = manifest.experts.emplace_back();
      KIMIC_TRY(readExpert(value, expert, references.emplace_back()));
      auto [at, isNew] = indices.emplace(expert.id, i);
      if (!isNew)
        return value.error(ErrorId::ManifestRepeatedId, quote(expert.id),
                           "another id than that of experts[" + std::to_string(at->second) + "]");
    }
    return {};
  };
  KIMIC_TRY(readKeys(
      root, {{"kimic", kRequired,
              [](const Value &v) -> Status {
                if (v.json().kind != JsonValue::Kind::Number)
                  return v.error(ErrorId::ManifestWrongType, "1, the version of the format");
                return {};
              }},
             {"name", kRequired, [&](const Value &v) { return v.readText(manifest.name); }},
             {"experts", kRequired, readExperts},
             {"router", kOptional, [&](const Value &v) { return readRouter(v, manifest.router.emplace(), router); }},
             {"features", kOptional, [&](const Value &v) { return readFeatures(v, manifest); }},
             {"accuracy", kOptional, [&](const Value &v) { return readAccuracy(v, manifest.accuracy); }},
             {"routing_data", kOptional, [&](const Value &v) { return v.readPath(manifest.routingFile); }},
             {"metadata", kOptional, [&](const Value &v) { return v.readMetadata(manifest.metadata); }}}));

  for (std::size_t i = 0; i < manifest.experts.size(); ++i) {
    KIMIC_TRY(resolveAll(references[i].dependsOn, indices, manifest.experts[i].dependsOn));
    for (const auto &[source, expert] : references[i].reads)
      KIMIC_TRY(resolve(expert, indices, manifest.experts[i].reads[source].expert.emplace()));
    if (!manifest.experts[i].reads.empty() && !manifest.router && !manifest.features)
      return root.error(ErrorId::ManifestKeyMissing, "\"reads\" of " + manifest.experts[i].id,
                        "\"features\" or a router");
    if (references[i].fallback)
      KIMIC_TRY(resolve(*references[i].fallback, indices, manifest.experts[i].fallback.emplace()));
  }
  if (manifest.router) {
    KIMIC_TRY(resolveAll(router.experts, indices, manifest.router->experts));
    if (router.fallback)
      KIMIC_TRY(resolve(*router.fallback, indices, manifest.router->fallback.emplace()));
  }

  KIMIC_TRY(refuseCycle(manifest, fileName, "depends_on", findCycle(manifest.experts.size(), [&](std::uint32_t i) {
                          return manifest.experts[i].dependsOn;
                        })));
  KIMIC_TRY(refuseCycle(manifest, fileName, "reads", findCycle(manifest.experts.size(), [&](std::uint32_t i) {
                          std::vector<std::uint32_t> next;
                          for (const Source &source : manifest.experts[i].reads)
                            if (source.expert)
                              next.push_back(*source.expert);
                          return next;
                        })));
  KIMIC_TRY(refuseCycle(manifest, fileName, "fallback", findCycle(manifest.experts.size(), [&](std::uint32_t i) {
                          const auto &fallback = manifest.experts[i].fallback;
                          return fallback ? std::vector{*fallback} : std::vector<std::uint32_t>{};
                        })));
  return manifest;
}

} // namespace kimic::manifest
