#include "formats/manifest/ExpertSet.h"

#include "formats/base/File.h"
#include "formats/data/Npy.h"
#include "formats/fann/FannReader.h"
#include "formats/manifest/Json.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <optional>
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
      : file_(file), path_(std::move(path)), entry_(entry), loaded_(loaded), inputs_(loaded.network.numInputs),
        outputs_(loaded.network.numOutputs) {}

  Status semantics() const {
    bool isRuvFann = loaded_.network.semantics == fann::Semantics::RuvFann;
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

Status checkExpert(ExpertSet &set, std::size_t i, bool isStrict) {
  Expert &expert = set.experts[i];
  const fann::Network &network = expert.network;
  NetworkCheck check(set.file, expertPath(i), expert, expert);
  KIMIC_TRY(check.semantics());
  KIMIC_TRY(check.data());
  KIMIC_TRY(check.range(expert.inputRange));
  KIMIC_TRY(check.listed(".inputs", "name", expert.inputNames.size(), network.numInputs, "input"));
  KIMIC_TRY(check.listed(".outputs", "name", expert.outputNames.size(), network.numOutputs, "output"));
  bool isBinary = network.numOutputs == 1 && expert.labels.size() == 2;
  if (!isBinary)
    KIMIC_TRY(check.listed(".labels", "label", expert.labels.size(), network.numOutputs, "output"));

  std::uint64_t parameters = parameterCount(network);
  if (parameters < kMinParameters || parameters > kMaxParameters) {
    Diagnostic unusual = check.error(ErrorId::ManifestParameterCount, ".network", std::to_string(parameters),
                                     std::to_string(kMinParameters) + " to " + std::to_string(kMaxParameters));
    if (isStrict)
      return unusual;
    set.warnings.push_back(unusual.message());
  }
  if (expert.fallback) {
    const fann::Network &other = set.experts[*expert.fallback].network;
    if (other.numInputs != network.numInputs || other.numOutputs != network.numOutputs)
      return check.error(ErrorId::ManifestCountMismatch, ".fallback",
                         counted(other.numInputs, "input") + " and " + counted(other.numOutputs, "output"),
                         counted(network.numInputs, "input") + " and " + counted(network.numOutputs, "output") +
                             ", the shape of the expert that it stands in for");
  }
  return {};
}

/// Whether rows * columns = experts with rows + columns = outputs has a solution in whole numbers.
bool isGridOf(std::size_t outputs, std::size_t experts) {
  for (std::size_t rows = 1; rows <= outputs / 2; ++rows)
    if (rows * (outputs - rows) == experts)
      return true;
  return false;
}

Status checkRouter(ExpertSet &set) {
  Router &router = *set.router;
  NetworkCheck check(set.file, "router", router, router);
  KIMIC_TRY(check.semantics());
  KIMIC_TRY(check.data());
  KIMIC_TRY(check.range(router.inputRange));
  bool isGrid = router.head == RouterHead::ProductKeys;
  if (isGrid && !isGridOf(router.network.numOutputs, router.experts.size()))
    return check.error(ErrorId::ManifestCountMismatch, ".experts", counted(router.experts.size(), "expert"),
                       "as many as rows * columns, where rows + columns are the " +
                           counted(router.network.numOutputs, "output") + " of the router's network");
  if (!isGrid && router.network.numOutputs != router.experts.size())
    return check.error(ErrorId::ManifestCountMismatch, ".experts", counted(router.experts.size(), "expert"),
                       counted(router.network.numOutputs, "output") + " of the router's network");
  const Expert &first = set.experts[router.experts.front()];
  for (std::size_t i = 0; i < router.experts.size(); ++i) {
    const Expert &expert = set.experts[router.experts[i]];
    if (expert.network.numInputs != first.network.numInputs || expert.network.numOutputs != first.network.numOutputs)
      return check.error(ErrorId::ManifestCountMismatch, (".experts[" + std::to_string(i) + "]").c_str(),
                         expert.id + " with " + counted(expert.network.numInputs, "input") + " and " +
                             counted(expert.network.numOutputs, "output"),
                         counted(first.network.numInputs, "input") + " and " +
                             counted(first.network.numOutputs, "output") + " like " + first.id);
    bool needsClasses = router.merge == RouterMerge::Vote || router.merge == RouterMerge::Cascade;
    if (needsClasses && expert.task == Task::Regression)
      return check.error(ErrorId::ManifestConflict, ".merge", "the regression " + expert.id,
                         "experts that classify: votes and confidences are those of classes");
  }
  if (router.fallback) {
    const Expert &expert = set.experts[*router.fallback];
    if (expert.network.numInputs != first.network.numInputs || expert.network.numOutputs != first.network.numOutputs)
      return check.error(ErrorId::ManifestCountMismatch, ".fallback",
                         counted(expert.network.numInputs, "input") + " and " +
                             counted(expert.network.numOutputs, "output"),
                         counted(first.network.numInputs, "input") + " and " +
                             counted(first.network.numOutputs, "output") + " like " + first.id);
  }
  if (router.network.numInputs != first.network.numInputs)
    return check.error(ErrorId::ManifestCountMismatch, ".network", counted(router.network.numInputs, "input"),
                       counted(first.network.numInputs, "input") + ", the same row that the routed experts read");
  return {};
}

/// The folder of a file, with its '/', or empty.
std::string folderOf(const std::string &file) { return file.substr(0, file.rfind('/') + 1); }

using NetworkResult = Result<fann::Network, Diagnostic>;

/// Reads files in parallel; results in the order of `paths`, so that nothing depends on the threads.
std::vector<NetworkResult> readNetworks(const std::vector<std::string> &paths, unsigned jobs) {
  std::vector<std::optional<NetworkResult>> read(paths.size());
  std::atomic<std::size_t> next{0};
  auto work = [&] {
    for (std::size_t i; (i = next++) < paths.size();)
      read[i].emplace(fann::readNetworkFile(paths[i]));
  };
  std::size_t threadCount = jobs ? jobs : std::max(1u, std::thread::hardware_concurrency());
  std::vector<std::thread> threads;
  for (std::size_t i = 1; i < std::min(threadCount, paths.size()); ++i)
    threads.emplace_back(work);
  work();
  for (std::thread &thread : threads)
    thread.join();

  std::vector<NetworkResult> results;
  for (auto &result : read)
    results.push_back(std::move(*result));
  return results;
}

/// Takes the networks of a manifest and reads its data files, each once.
class FileReader {
public:
  FileReader(const std::string &manifestFile, std::vector<std::string> &warnings)
      : manifestFile_(manifestFile), folder_(folderOf(manifestFile)), warnings_(warnings) {}

  Status read(const std::string &path, const NetworkEntry &entry, NetworkResult network, LoadedNetwork &out) {
    if (!network)
      return relate(network.error(), path + ".network", entry.networkFile);
    out.network = std::move(*network);
    for (const std::string &warning : out.network.warnings)
      warnings_.push_back(folder_ + entry.networkFile.path + ": " + warning);

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
      out.calibration = std::shared_ptr<const Matrix>(data, &data->inputs);
    }
    if (entry.testFile.isPresent()) {
      KIMIC_ASSIGN(auto data, readData(path + ".test", entry.testFile));
      if (entry.targetsFile.isPresent()) {
        KIMIC_ASSIGN(auto targets, readData(path + ".test_targets", entry.targetsFile));
        data = std::make_shared<const FannData>(FannData{data->inputs, targets->inputs, {}});
      }
      out.test = std::move(data);
    }
    return {};
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
      for (const std::string &warning : data.warnings)
        warnings_.push_back(file + ": " + warning);
    }
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
};

} // namespace

std::uint64_t parameterCount(const fann::Network &network) { return network.connections.size(); }

Result<void, Diagnostic> check(ExpertSet &set, ReadOptions options) {
  for (std::size_t i = 0; i < set.experts.size(); ++i)
    KIMIC_TRY(checkExpert(set, i, options.strict));
  if (set.router)
    KIMIC_TRY(checkRouter(set));
  return {};
}

Result<ExpertSet, Diagnostic> readManifest(const std::string &path, ReadOptions options) {
  std::string file = path;
  if (struct stat info; ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode))
    file += path.ends_with('/') ? "experts.json" : "/experts.json";
  KIMIC_ASSIGN(std::string text, readFile(file, kMaxTextBytes));
  KIMIC_ASSIGN(Manifest manifest, parseManifest(text, file));

  ExpertSet set;
  set.name = std::move(manifest.name);
  set.file = file;
  set.accuracy = manifest.accuracy;
  set.metadata = std::move(manifest.metadata);
  std::vector<std::string> networkFiles;
  for (const ExpertEntry &expert : manifest.experts)
    networkFiles.push_back(folderOf(file) + expert.networkFile.path);
  if (manifest.router)
    networkFiles.push_back(folderOf(file) + manifest.router->networkFile.path);
  std::vector<NetworkResult> networks = readNetworks(networkFiles, options.jobs);

  FileReader reader(file, set.warnings);
  for (std::size_t i = 0; i < manifest.experts.size(); ++i) {
    Expert &expert = set.experts.emplace_back();
    static_cast<ExpertEntry &>(expert) = std::move(manifest.experts[i]);
    KIMIC_TRY(reader.read(expertPath(i), expert, std::move(networks[i]), expert));
  }
  if (manifest.router) {
    Router &router = set.router.emplace();
    static_cast<RouterEntry &>(router) = std::move(*manifest.router);
    KIMIC_TRY(reader.read("router", router, std::move(networks.back()), router));
  }
  KIMIC_TRY(check(set, options));
  return set;
}

} // namespace kimic::manifest
