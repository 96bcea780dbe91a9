#include "formats/manifest/ExpertSet.h"

#include "formats/base/File.h"
#include "formats/base/Grid.h"
#include "formats/data/Npy.h"
#include "formats/fann/FannReader.h"
#include "formats/manifest/Json.h"
#include "formats/manifest/Spelling.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <optional>
#include <set>
#include <sys/stat.h>
#include <thread>
#include <utility>

namespace kimic::manifest {

namespace {

using Status = Result<void, Diagnostic>;

std::string expertPath(std::size_t i) { return "experts[" + std::to_string(i) + "]"; }

std::string counted(std::size_t count, const char *noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

/// Checks one network with its entry and data, in the order in which a person would.
class NetworkCheck {
public:
  NetworkCheck(const std::string &file, std::string path, const NetworkEntry &entry, const LoadedNetwork &loaded)
      : file_(file), path_(std::move(path)), entry_(entry), loaded_(loaded), inputs_(loaded.numInputs()),
        outputs_(loaded.numOutputs()) {}

  Status semantics() const {
    bool isRuvFann = loaded_.semantics() == fann::Semantics::RuvFann;
    const char *found = isRuvFann ? "\"ruv-fann\"" : "\"fann\"";
    if (entry_.semantics == SemanticsTag::Fann && isRuvFann)
      return error(ErrorId::ManifestSemanticsMismatch, ".semantics", found, "\"fann\"");
    if (entry_.semantics == SemanticsTag::RuvFann && !isRuvFann)
      return error(ErrorId::ManifestSemanticsMismatch, ".semantics", found, "\"ruv-fann\"");
    return {};
  }

  Status data() const {
    if (loaded_.calibration)
      KIMIC_TRY(columns(".calibration", *loaded_.calibration, inputs_, "input"));
    if (!loaded_.test)
      return {};
    const char *targets = entry_.targetsFile.isPresent() ? ".test_targets" : ".test";
    KIMIC_TRY(columns(".test", loaded_.test->inputs, inputs_, "input"));
    KIMIC_TRY(columns(targets, loaded_.test->outputs, outputs_, "output"));
    if (loaded_.test->inputs.rows != loaded_.test->outputs.rows)
      return error(ErrorId::ManifestCountMismatch, targets, counted(loaded_.test->outputs.rows, "row"),
                   counted(loaded_.test->inputs.rows, "row") + ", as many as there are inputs");
    return {};
  }

  Status columns(const char *key, const Matrix &matrix, std::size_t cols, const char *noun) const {
    if (matrix.cols != cols)
      return error(ErrorId::ManifestCountMismatch, key, counted(matrix.cols, (noun + std::string(" column")).c_str()),
                   counted(cols, noun) + " of the network");
    if (matrix.rows == 0)
      return error(ErrorId::ManifestCountMismatch, key, "no rows", "at least one");
    return {};
  }

  Status listed(const char *key, const char *noun, std::size_t count, std::size_t neurons, const char *what) const {
    if (count != 0 && count != neurons)
      return error(ErrorId::ManifestCountMismatch, key, counted(count, noun),
                   counted(neurons, what) + " of the network");
    return {};
  }

  Status range(std::vector<Interval> &ranges) const {
    if (ranges.size() == 1)
      ranges.resize(inputs_, ranges[0]);
    return listed(".input_range", "interval", ranges.size(), inputs_, "input");
  }

  Diagnostic error(ErrorId id, const char *key, std::string found, std::string expected) const {
    return {id, file_, entry_.line, path_ + key, std::move(found), std::move(expected)};
  }

private:
  const std::string &file_;
  std::string path_;
  const NetworkEntry &entry_;
  const LoadedNetwork &loaded_;
  std::size_t inputs_, outputs_;
};

std::uint32_t outputsOf(const Expert &expert) { return expert.head == ExpertHead::Argmax ? 1 : expert.numOutputs(); }

/// Numbers in a row that the expert is asked with; 0 if nothing says how many a request has.
std::uint32_t rowOf(const ExpertSet &set, const Expert &expert) {
  return expert.reads.empty() ? expert.numInputs() : set.features;
}

/// Whether the experts may answer the same row in the same way, as far as that is known.
bool haveOneShape(const ExpertSet &set, const Expert &a, const Expert &b) {
  const std::uint32_t rowOfA = rowOf(set, a), rowOfB = rowOf(set, b);
  return (rowOfA == rowOfB || !rowOfA || !rowOfB) && a.numOutputs() == b.numOutputs();
}

/// Appends the source as ranges.
Status resolve(const ExpertSet &set, const NetworkCheck &check, const char *key, const Source &source,
               std::vector<Source> &out) {
  const Expert *from = source.expert ? &set.experts[*source.expert] : nullptr;
  const std::uint32_t there = from ? outputsOf(*from) : set.features;
  const std::string all = counted(there, from ? "output" : "feature") + (from ? " of " + from->id : " of the request");
  if (from && set.features && from->reads.empty() && from->numInputs() != set.features)
    return check.error(ErrorId::ManifestCountMismatch, key, from->id + " with " + counted(from->numInputs(), "input"),
                       counted(set.features, "feature") + " of the request, all of which it reads");
  if (source.names.empty()) {
    const std::uint32_t count = source.count ? source.count : there;
    if (source.first + count > there)
      return check.error(ErrorId::ManifestOutOfRange, key,
                         "[" + std::to_string(source.first) + ", " + std::to_string(source.first + count) + "]",
                         "a range of the " + all);
    out.push_back({source.expert, {}, source.first, count});
    return {};
  }
  const std::vector<std::string> &names = from ? from->outputNames : set.featureNames;
  const std::size_t begin = out.size();
  for (const std::string &name : source.names) {
    const auto at = std::find(names.begin(), names.end(), name);
    if (names.size() != there || at == names.end())
      return check.error(ErrorId::ManifestUnknownWord, key, quote(name),
                         names.size() == there ? expectedWord(name, {names.begin(), names.end()})
                                               : "a range: there are no names for the " + all);
    const auto index = static_cast<std::uint32_t>(at - names.begin());
    if (out.size() > begin && out.back().first + out.back().count == index)
      ++out.back().count;
    else
      out.push_back({source.expert, {}, index, 1});
  }
  return {};
}

/// How many levels of experts the expert stands on, 1 for one that reads the request only; more than kMaxLevels if
/// there are more than that. `levels`: those that are known, by expert.
std::size_t levelOf(const ExpertSet &set, std::uint32_t index, std::vector<std::uint8_t> &levels,
                    std::size_t depth = 0) {
  const Expert &expert = set.experts[index];
  if (expert.reads.empty() || levels[index])
    return levels[index];
  std::size_t level = 0;
  if (depth == kMaxLevels)
    return kMaxLevels + 1;
  for (const Source &source : expert.reads) {
    if (!source.expert)
      continue;
    level = std::max(level, levelOf(set, *source.expert, levels, depth + 1));
    if (level >= kMaxLevels)
      return kMaxLevels + 1; // at once: ways down that were not looked at to their ends are not remembered
  }
  return levels[index] = static_cast<std::uint8_t>(level + 1);
}

/// Whether the expert needs more than kMaxNeeded others.
bool needsTooMany(const ExpertSet &set, std::uint32_t index) {
  std::set<std::uint32_t> needed{index};
  std::vector<std::uint32_t> open{index};
  while (!open.empty() && needed.size() <= kMaxNeeded + 1) {
    const Expert &expert = set.experts[open.back()];
    open.pop_back();
    for (const Source &source : expert.reads)
      if (source.expert && needed.insert(*source.expert).second)
        open.push_back(*source.expert);
  }
  return needed.size() > kMaxNeeded + 1;
}

/// Makes what an expert reads ranges, which add up to its inputs.
Status checkReads(ExpertSet &set, std::uint32_t i, std::vector<std::uint8_t> &levels) {
  Expert &expert = set.experts[i];
  if (expert.isLeftOut || expert.reads.empty())
    return {};
  NetworkCheck check(set.file, expertPath(i), expert, expert);
  for (const Source &source : expert.reads)
    if (source.expert ? set.experts[*source.expert].isLeftOut : set.features == 0)
      return {};
  std::vector<Source> ranges;
  for (std::size_t s = 0; s < expert.reads.size(); ++s)
    KIMIC_TRY(resolve(set, check, (".reads[" + std::to_string(s) + "]").c_str(), expert.reads[s], ranges));
  if (ranges.size() > kMaxSources)
    return check.error(ErrorId::ManifestTooLarge, ".reads", counted(ranges.size(), "range"),
                       "at most " + std::to_string(kMaxSources));
  std::uint64_t inputs = 0;
  for (const Source &source : ranges)
    inputs += source.count;
  if (inputs != expert.numInputs())
    return check.error(ErrorId::ManifestCountMismatch, ".reads", counted(inputs, "number"),
                       counted(expert.numInputs(), "input") + " of the network");
  if (levelOf(set, i, levels) > kMaxLevels)
    return check.error(ErrorId::ManifestTooLarge, ".reads", "more than " + counted(kMaxLevels, "level") + " of experts",
                       "at most " + std::to_string(kMaxLevels));
  if (needsTooMany(set, i))
    return check.error(ErrorId::ManifestTooLarge, ".reads", "more than " + counted(kMaxNeeded, "expert"),
                       "at most " + std::to_string(kMaxNeeded) + " that are needed first");
  expert.reads = std::move(ranges);
  return {};
}

/// The request has the router's row.
Status checkFeatures(ExpertSet &set) {
  if (!set.router || set.router->isLeftOut)
    return {};
  const std::uint32_t inputs = set.router->numInputs();
  if (set.features && set.features != inputs)
    return Diagnostic{ErrorId::ManifestCountMismatch,
                      set.file,
                      set.router->line,
                      "features",
                      counted(set.features, "feature"),
                      counted(inputs, "input") + " of the router's network"};
  set.features = inputs;
  return {};
}

Status checkExpert(ExpertSet &set, std::size_t i, bool isStrict) {
  Expert &expert = set.experts[i];
  if (expert.isLeftOut)
    return {};
  NetworkCheck check(set.file, expertPath(i), expert, expert);
  KIMIC_TRY(check.semantics());
  KIMIC_TRY(check.data());
  KIMIC_TRY(check.range(expert.inputRange));
  KIMIC_TRY(check.listed(".inputs", "name", expert.inputNames.size(), expert.numInputs(), "input"));
  KIMIC_TRY(check.listed(".outputs", "name", expert.outputNames.size(), expert.numOutputs(), "output"));
  bool isBinary = expert.numOutputs() == 1 && expert.labels.size() == 2;
  if (!isBinary)
    KIMIC_TRY(check.listed(".labels", "label", expert.labels.size(), expert.numOutputs(), "output"));

  std::uint64_t parameters = expert.parameters();
  if (parameters < kMinParameters || parameters > kMaxParameters) {
    Diagnostic unusual = check.error(ErrorId::ManifestParameterCount, ".network", std::to_string(parameters),
                                     std::to_string(kMinParameters) + " to " + std::to_string(kMaxParameters));
    if (isStrict)
      return unusual;
    set.warnings.push_back(unusual.message());
  }
  if (expert.fallback) {
    const Expert &other = set.experts[*expert.fallback];
    if (!other.isLeftOut && !haveOneShape(set, other, expert))
      return check.error(ErrorId::ManifestCountMismatch, ".fallback",
                         counted(rowOf(set, other), "input") + " and " + counted(other.numOutputs(), "output"),
                         counted(rowOf(set, expert), "input") + " and " + counted(expert.numOutputs(), "output") +
                             ", the shape of the expert that it stands in for");
  }
  return {};
}

Status checkRouter(ExpertSet &set) {
  Router &router = *set.router;
  if (router.isLeftOut)
    return {};
  NetworkCheck check(set.file, "router", router, router);
  KIMIC_TRY(check.semantics());
  KIMIC_TRY(check.data());
  KIMIC_TRY(check.range(router.inputRange));
  bool isGrid = router.head == RouterHead::ProductKeys;
  if (isGrid && !gridRows(router.numOutputs(), router.experts.size()))
    return check.error(ErrorId::ManifestCountMismatch, ".experts", counted(router.experts.size(), "expert"),
                       "as many as rows * columns, where rows + columns are the " +
                           counted(router.numOutputs(), "output") + " of the router's network");
  if (!isGrid && router.numOutputs() != router.experts.size())
    return check.error(ErrorId::ManifestCountMismatch, ".experts", counted(router.experts.size(), "expert"),
                       counted(router.numOutputs(), "output") + " of the router's network");
  const Expert *first = nullptr;
  for (std::size_t i = 0; i < router.experts.size(); ++i) {
    const Expert &expert = set.experts[router.experts[i]];
    if (expert.isLeftOut)
      continue;
    if (!first)
      first = &expert;
    if (!haveOneShape(set, expert, *first))
      return check.error(ErrorId::ManifestCountMismatch, (".experts[" + std::to_string(i) + "]").c_str(),
                         expert.id + " with " + counted(rowOf(set, expert), "input") + " and " +
                             counted(expert.numOutputs(), "output"),
                         counted(rowOf(set, *first), "input") + " and " + counted(first->numOutputs(), "output") +
                             " like " + first->id);
    bool needsClasses = router.merge == RouterMerge::Vote || router.merge == RouterMerge::Cascade;
    if (needsClasses && expert.task == Task::Regression)
      return check.error(ErrorId::ManifestConflict, ".merge", "the regression " + expert.id,
                         "experts that classify: votes and confidences are those of classes");
  }
  if (router.fallback && first && !set.experts[*router.fallback].isLeftOut) {
    const Expert &expert = set.experts[*router.fallback];
    if (!haveOneShape(set, expert, *first))
      return check.error(ErrorId::ManifestCountMismatch, ".fallback",
                         counted(rowOf(set, expert), "input") + " and " + counted(expert.numOutputs(), "output"),
                         counted(rowOf(set, *first), "input") + " and " + counted(first->numOutputs(), "output") +
                             " like " + first->id);
  }
  if (first && router.numInputs() != rowOf(set, *first))
    return check.error(ErrorId::ManifestCountMismatch, ".network", counted(router.numInputs(), "input"),
                       counted(rowOf(set, *first), "input") + ", the same row that the routed experts read");
  return {};
}

/// The folder of a file, with its '/', or empty.
std::string folderOf(const std::string &file) { return file.substr(0, file.rfind('/') + 1); }

using NetworkResult = Result<fann::Network, Diagnostic>;

/// Calls work(i) for i < count on `jobs` threads.
template <class Work> void inParallel(unsigned jobs, std::size_t count, Work work) {
  std::atomic<std::size_t> next{0};
  auto run = [&] {
    for (std::size_t i; (i = next++) < count;)
      work(i);
  };
  std::size_t threadCount = jobs ? jobs : std::max(1u, std::thread::hardware_concurrency());
  std::vector<std::thread> threads;
  for (std::size_t i = 1; i < std::min(threadCount, count); ++i)
    threads.emplace_back(run);
  run();
  for (std::thread &thread : threads)
    thread.join();
}

/// Takes the networks of a manifest and reads its data files, each once.
class FileReader {
public:
  FileReader(const std::string &manifestFile, std::vector<std::string> &warnings)
      : manifestFile_(manifestFile), folder_(folderOf(manifestFile)), warnings_(warnings) {}

  std::string pathOf(const FileReference &reference) const { return folder_ + reference.path; }

  Status read(const std::string &path, const NetworkEntry &entry, NetworkResult network, LoadedNetwork &out) {
    if (!network)
      return relate(network.error(), path + ".network", entry.networkFile);
    out.network = std::move(*network);
    NetworkFacts &facts = out.facts.emplace();
    facts.semantics = out.network.semantics;
    facts.numInputs = out.network.numInputs;
    facts.numOutputs = out.network.numOutputs;
    facts.parameters = parameterCount(out.network);
    facts.networkWarnings = out.network.warnings;

    if (entry.calibrationFile.isPresent()) {
      KIMIC_ASSIGN(auto data, readData(path + ".calibration", entry.calibrationFile));
      // The outputs of FANN data are not used, but if they do not fit, the file belongs to another network.
      if (!isNpy(entry.calibrationFile) && data->outputs.cols != out.network.numOutputs)
        return Diagnostic{ErrorId::ManifestCountMismatch,
                          manifestFile_,
                          entry.calibrationFile.line,
                          path + ".calibration",
                          counted(data->outputs.cols, "output column"),
                          counted(out.network.numOutputs, "output") + " of the network"};
      facts.calibrationWarnings = data->warnings;
      out.calibration = std::shared_ptr<const Matrix>(data, &data->inputs);
    }
    if (entry.testFile.isPresent()) {
      KIMIC_ASSIGN(auto data, readData(path + ".test", entry.testFile));
      facts.testWarnings = data->warnings;
      if (entry.targetsFile.isPresent()) {
        KIMIC_ASSIGN(auto targets, readData(path + ".test_targets", entry.targetsFile));
        data = std::make_shared<const FannData>(FannData{data->inputs, targets->inputs, {}});
      }
      out.test = std::move(data);
    }
    warn(entry, facts);
    return {};
  }

  /// What reading the files says, or would say. Of a data file once.
  void warn(const NetworkEntry &entry, const NetworkFacts &facts) {
    auto add = [&](const FileReference &reference, const std::vector<std::string> &texts) {
      for (const std::string &text : texts)
        warnings_.push_back(pathOf(reference) + ": " + text);
    };
    add(entry.networkFile, facts.networkWarnings);
    if (!facts.calibrationWarnings.empty() && hasWarned_.insert(entry.calibrationFile.path).second)
      add(entry.calibrationFile, facts.calibrationWarnings);
    if (!facts.testWarnings.empty() && hasWarned_.insert(entry.testFile.path).second)
      add(entry.testFile, facts.testWarnings);
  }

  /// Numbers of all data that are in memory.
  std::uint64_t values() const { return values_; }
  /// Forgets data files: each is read again where it is needed.
  void forget() {
    files_.clear();
    values_ = 0;
  }

private:
  static bool isNpy(const FileReference &reference) { return std::string_view(reference.path).ends_with(".npy"); }

  /// A `.npy` file becomes inputs without outputs.
  Result<std::shared_ptr<const FannData>, Diagnostic> readData(const std::string &path,
                                                               const FileReference &reference) {
    auto [at, isNew] = files_.try_emplace(reference.path);
    if (!isNew)
      return at->second;
    std::string file = folder_ + reference.path;
    FannData data;
    if (isNpy(reference)) {
      auto matrix = readNpyFile(file);
      if (!matrix)
        return relate(matrix.error(), path, reference);
      data.inputs = std::move(*matrix);
    } else {
      auto read = readFannDataFile(file);
      if (!read)
        return relate(read.error(), path, reference);
      data = std::move(*read);
    }
    values_ += data.inputs.values.size() + data.outputs.values.size();
    at->second = std::make_shared<const FannData>(std::move(data));
    return at->second;
  }

  /// A file that is missing is the manifest's mistake; what is wrong inside of a file is that file's.
  Diagnostic relate(const Diagnostic &error, const std::string &path, const FileReference &reference) const {
    if (error.id != ErrorId::FileNotFound)
      return error;
    return {ErrorId::ManifestFileMissing,     manifestFile_, reference.line, path, quote(reference.path),
            "a file in the manifest's folder"};
  }

  const std::string &manifestFile_;
  std::string folder_;
  std::vector<std::string> &warnings_;
  std::map<std::string, std::shared_ptr<const FannData>> files_;
  std::uint64_t values_ = 0;
  std::set<std::string> hasWarned_;
};

/// An expert or the router, to be read.
struct Item {
  std::string path; ///< in the manifest
  std::string_view id;
  const NetworkEntry *entry = nullptr;
  const ExpertEntry *expert = nullptr; ///< null for the router
  LoadedNetwork loaded = {};
};

/// Asks options.find about every item, which takes the digests of all their files.
void findKnown(const Manifest &manifest, std::vector<Item> &items, const FileReader &reader,
               const ReadOptions &options) {
  std::map<std::string, std::optional<Digest>> files; // by path in the manifest
  for (const Item &item : items)
    if (!item.loaded.isLeftOut)
      for (const FileReference *file :
           {&item.entry->networkFile, &item.entry->calibrationFile, &item.entry->testFile, &item.entry->targetsFile})
        if (file->isPresent())
          files.try_emplace(file->path);
  std::vector<std::pair<const std::string, std::optional<Digest>> *> list;
  for (auto &file : files)
    list.push_back(&file);
  inParallel(options.jobs, list.size(), [&](std::size_t i) {
    // A file that cannot be read is found out again where its error belongs.
    if (auto digest = digestOfFile(reader.pathOf({list[i]->first})))
      list[i]->second = *digest;
  });
  inParallel(options.jobs, items.size(), [&](std::size_t i) {
    Item &item = items[i];
    FileDigests digests;
    bool isComplete = !item.loaded.isLeftOut;
    auto take = [&](const FileReference &file, std::optional<Digest> &out) {
      if (file.isPresent() && isComplete) {
        out = files.find(file.path)->second;
        isComplete = out.has_value();
      }
    };
    std::optional<Digest> network;
    take(item.entry->networkFile, network);
    take(item.entry->calibrationFile, digests.calibration);
    take(item.entry->testFile, digests.test);
    take(item.entry->targetsFile, digests.targets);
    if (!isComplete)
      return;
    digests.network = *network;
    ReadOptions::Found found = options.find(manifest, item.expert, digests);
    item.loaded.key = found.key;
    item.loaded.facts = std::move(found.facts);
    item.loaded.isInMemory = !item.loaded.facts;
  });
}

/// Reads the files of all items that are still unknown, a batch after the other. Results come in order, so that nothing
/// depends on the threads.
Status readFiles(const std::string &file, std::vector<Item> &items, FileReader &reader, const ReadOptions &options) {
  constexpr std::size_t kBatch = 64;
  std::uint64_t kept = 0;
  for (std::size_t begin = 0; begin < items.size(); begin += kBatch) {
    std::vector<std::optional<NetworkResult>> networks(std::min(kBatch, items.size() - begin));
    auto isUnknown = [](const Item &item) { return !item.loaded.isLeftOut && item.loaded.isInMemory; };
    inParallel(options.jobs, networks.size(), [&](std::size_t i) {
      if (const Item &item = items[begin + i]; isUnknown(item))
        networks[i].emplace(fann::readNetworkFile(reader.pathOf(item.entry->networkFile)));
    });
    for (std::size_t i = 0; i < networks.size(); ++i) {
      Item &item = items[begin + i];
      if (!isUnknown(item)) {
        if (item.loaded.facts)
          reader.warn(*item.entry, *item.loaded.facts);
        continue;
      }
      KIMIC_TRY(reader.read(item.path, *item.entry, std::move(*networks[i]), item.loaded));
      kept += item.loaded.network.connections.size();
      if (kept + reader.values() <= options.maxInMemory)
        continue;
      KIMIC_TRY(NetworkCheck(file, item.path, *item.entry, item.loaded).data());
      kept -= item.loaded.network.connections.size();
      item.loaded.network = {};
      item.loaded.calibration = nullptr;
      item.loaded.test = nullptr;
      item.loaded.isInMemory = false;
      if (reader.values() > options.maxInMemory / 2)
        reader.forget();
    }
  }
  return {};
}

} // namespace

std::uint64_t parameterCount(const fann::Network &network) { return network.connections.size(); }

Result<void, Diagnostic> check(ExpertSet &set, const ReadOptions &options) {
  KIMIC_TRY(checkFeatures(set));
  for (std::size_t i = 0; i < set.experts.size(); ++i)
    KIMIC_TRY(checkExpert(set, i, options.strict));
  std::vector<std::uint8_t> levels(set.experts.size()); // 0: not known
  for (std::uint32_t i = 0; i < set.experts.size(); ++i)
    KIMIC_TRY(checkReads(set, i, levels));
  if (set.router)
    KIMIC_TRY(checkRouter(set));
  return {};
}

Result<ExpertSet, Diagnostic> readManifest(const std::string &path, const ReadOptions &options) {
  std::string file = path;
  if (struct stat info; ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode))
    file += path.ends_with('/') ? "experts.json" : "/experts.json";
  KIMIC_ASSIGN(std::string text, readFile(file, kMaxTextBytes));
  KIMIC_ASSIGN(Manifest manifest, parseManifest(text, file));

  std::vector<Item> items;
  for (std::size_t i = 0; i < manifest.experts.size(); ++i)
    items.push_back({expertPath(i), manifest.experts[i].id, &manifest.experts[i], &manifest.experts[i]});
  if (manifest.router)
    items.push_back({"router", kRouterId, &*manifest.router});
  for (Item &item : items)
    item.loaded.isLeftOut = options.wants && !options.wants(item.id);

  ExpertSet set;
  FileReader reader(file, set.warnings);
  if (options.find)
    findKnown(manifest, items, reader, options);
  if (options.onlyFound)
    for (Item &item : items)
      item.loaded.isLeftOut |= !item.loaded.facts;
  KIMIC_TRY(readFiles(file, items, reader, options));

  set.name = std::move(manifest.name);
  set.file = file;
  set.accuracy = manifest.accuracy;
  set.features = manifest.features;
  set.featureNames = std::move(manifest.featureNames);
  set.routingFile = manifest.routingFile;
  set.metadata = std::move(manifest.metadata);
  set.experts.reserve(manifest.experts.size());
  for (std::size_t i = 0; i < manifest.experts.size(); ++i) {
    Expert &expert = set.experts.emplace_back();
    static_cast<ExpertEntry &>(expert) = std::move(manifest.experts[i]);
    static_cast<LoadedNetwork &>(expert) = std::move(items[i].loaded);
  }
  if (manifest.router) {
    Router &router = set.router.emplace();
    static_cast<RouterEntry &>(router) = std::move(*manifest.router);
    static_cast<LoadedNetwork &>(router) = std::move(items.back().loaded);
  }
  KIMIC_TRY(check(set, options));
  return set;
}

std::string pathOf(const ExpertSet &set, const FileReference &reference) { return folderOf(set.file) + reference.path; }

Result<LoadedNetwork, Diagnostic> loadNetwork(const ExpertSet &set, const std::string &path,
                                              const NetworkEntry &entry) {
  LoadedNetwork out;
  std::vector<std::string> warnings; // readManifest() has told them
  FileReader reader(set.file, warnings);
  KIMIC_TRY(reader.read(path, entry, fann::readNetworkFile(reader.pathOf(entry.networkFile)), out));
  // The files may have changed since they were checked.
  KIMIC_TRY(NetworkCheck(set.file, path, entry, out).data());
  return out;
}

} // namespace kimic::manifest
