// An expert set, ready to compile: the manifest with its networks and data read and checked against each other.
//
// Whoever has networks in memory (the Python bindings) fills an ExpertSet directly and calls check().
#pragma once

#include "formats/base/Sha256.h"
#include "formats/data/FannData.h"
#include "formats/data/Matrix.h"
#include "formats/fann/Network.h"
#include "formats/manifest/Manifest.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace kimic::manifest {

/// What is known about a network whose files were once read and checked.
struct NetworkFacts {
  fann::Semantics semantics = fann::Semantics::FannFloat;
  std::uint32_t numInputs = 0, numOutputs = 0;
  std::uint64_t parameters = 0;
  std::vector<std::string> networkWarnings, calibrationWarnings, testWarnings; ///< about the files, one sentence each
  friend bool operator==(const NetworkFacts &, const NetworkFacts &) = default;
};

/// Number of weights, biases included: what a person means by "a network of 17K parameters".
std::uint64_t parameterCount(const fann::Network &network);

/// What an expert and the router have in common once their files are read. Experts that name the same data file share
/// it in memory.
struct LoadedNetwork {
  fann::Network network;
  std::shared_ptr<const Matrix> calibration; ///< null if none; cols == network.numInputs
  std::shared_ptr<const FannData> test;      ///< null if none; inputs and outputs have the network's columns

  /// Always there after readManifest().
  std::optional<NetworkFacts> facts;
  /// False: network and data are empty, as ReadOptions::find knew the facts, or because the set is large; then
  /// loadNetwork() reads them when they are needed.
  bool isInMemory = true;
  bool isLeftOut = false;    ///< ReadOptions::wants did not want it: there are no facts either
  std::optional<Digest> key; ///< that ReadOptions::find gave

  std::uint32_t numInputs() const { return isInMemory ? network.numInputs : facts->numInputs; }
  std::uint32_t numOutputs() const { return isInMemory ? network.numOutputs : facts->numOutputs; }
  fann::Semantics semantics() const { return isInMemory ? network.semantics : facts->semantics; }
  std::uint64_t parameters() const { return isInMemory ? parameterCount(network) : facts->parameters; }
};

struct Expert : ExpertEntry, LoadedNetwork {};
struct Router : RouterEntry, LoadedNetwork {};

/// Outside of these an expert is not a micro-expert: a warning, or an error if strict.
inline constexpr std::uint64_t kMinParameters = 1'000;
inline constexpr std::uint64_t kMaxParameters = 100'000;

struct ExpertSet {
  std::string name;
  std::string file;            ///< the manifest's path as the user named it; empty if there is none. For messages only.
  std::vector<Expert> experts; ///< at least one, in manifest order; indices are those of ExpertEntry::dependsOn
  std::optional<Router> router;
  /// Numbers in a request. check() takes those of the router; 0 if neither it nor the manifest says.
  std::uint32_t features = 0;
  std::vector<std::string> featureNames; ///< as in Manifest
  FileReference routingFile;             ///< a trace, which nobody has opened yet
  AccuracyBudget accuracy;               ///< of all experts that do not say otherwise
  std::string metadata;                  ///< a JSON object as compact text; empty if absent
  std::vector<std::string> warnings;     ///< what was accepted although it looks like a mistake, one sentence each
};

/// SHA-256 of the bytes of an entry's files; absent if it has no such file.
struct FileDigests {
  Digest network{};
  std::optional<Digest> calibration, test, targets;
};

struct ReadOptions {
  bool strict = false; ///< a parameter count outside of kMinParameters .. kMaxParameters is an error
  unsigned jobs = 1;   ///< threads that read networks; 0: as many as the machine has processors
  /// So many connections and data values stay in memory (some 12 bytes each) for whoever needs them next.
  std::uint64_t maxInMemory = 32u << 20;

  struct Found {
    Digest key;                        ///< for LoadedNetwork::key
    std::optional<NetworkFacts> facts; ///< if present, the files are not parsed
  };
  /// If set, asked about every network before it is parsed, from several threads. `expert` is null for the router.
  std::function<Found(const Manifest &manifest, const ExpertEntry *expert, const FileDigests &files)> find = {};
  bool onlyFound = false; ///< what `find` does not know is left out
  /// If set, tells which experts (and, by kRouterId, router) are read at all.
  std::function<bool(std::string_view id)> wants = {};
};

/// Checks everything that needs networks and data together (the entries are as parseManifest leaves them): columns of
/// the data, numbers of labels, names and ranges, the router's outputs against its experts, equal shapes of routed
/// experts and of fallbacks, what experts read, parameter counts. Appends to set.warnings. On success every inputRange
/// is empty or has one entry per input, and what an expert reads are ranges, unless some of it is of an expert that was
/// left out, or of the request while set.features is 0, as it may be if the router was left out.
Result<void, Diagnostic> check(ExpertSet &set, const ReadOptions &options = {});

/// Reads a manifest and all files that it names, then check()s the set. `path` is the manifest or its folder, in which
/// it is called `experts.json`.
Result<ExpertSet, Diagnostic> readManifest(const std::string &path, const ReadOptions &options = {});

/// The path of a file that the manifest names.
std::string pathOf(const ExpertSet &set, const FileReference &reference);

/// Network and data of an entry of `set` that are not in memory. `path` is the entry's JSON path, for errors.
Result<LoadedNetwork, Diagnostic> loadNetwork(const ExpertSet &set, const std::string &path, const NetworkEntry &entry);

} // namespace kimic::manifest
