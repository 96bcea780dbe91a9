// An expert set, ready to compile: the manifest with its networks and data read and checked against each other.
//
// Whoever has networks in memory (the Python bindings) fills an ExpertSet directly and calls check().
#pragma once

#include "formats/data/FannData.h"
#include "formats/data/Matrix.h"
#include "formats/fann/Network.h"
#include "formats/manifest/Manifest.h"

#include <memory>
#include <string>
#include <vector>

namespace kimic::manifest {

/// What an expert and the router have in common once their files are read. Experts that name the same data file share
/// it in memory.
struct LoadedNetwork {
  fann::Network network;
  std::shared_ptr<const Matrix> calibration; ///< null if none; cols == network.numInputs
  std::shared_ptr<const FannData> test;      ///< null if none; inputs and outputs have the network's columns
};

struct Expert : ExpertEntry, LoadedNetwork {};
struct Router : RouterEntry, LoadedNetwork {};

/// Number of weights, biases included: what a person means by "a network of 17K parameters".
std::uint64_t parameterCount(const fann::Network &network);

/// Outside of these an expert is not a micro-expert: a warning, or an error if strict.
inline constexpr std::uint64_t kMinParameters = 1'000;
inline constexpr std::uint64_t kMaxParameters = 100'000;

struct ExpertSet {
  std::string name;
  std::string file;            ///< the manifest's path as the user named it; empty if there is none. For messages only.
  std::vector<Expert> experts; ///< at least one, in manifest order; indices are those of ExpertEntry::dependsOn
  std::optional<Router> router;
  AccuracyBudget accuracy;           ///< of all experts that do not say otherwise
  std::string metadata;              ///< a JSON object as compact text; empty if absent
  std::vector<std::string> warnings; ///< what was accepted although it looks like a mistake, one sentence each
};

struct ReadOptions {
  bool strict = false; ///< a parameter count outside of kMinParameters .. kMaxParameters is an error
  unsigned jobs = 1;   ///< threads that read networks; 0: as many as the machine has processors
};

/// Checks everything that needs networks and data together (the entries are as parseManifest leaves them): columns of
/// the data, numbers of labels, names and ranges, the router's outputs against its experts, equal shapes of routed
/// experts and of fallbacks, parameter counts. Appends to set.warnings. On success every inputRange is empty or has one
/// entry per input.
Result<void, Diagnostic> check(ExpertSet &set, ReadOptions options = {});

/// Reads a manifest and all files that it names, then check()s the set. `path` is the manifest or its folder, in which
/// it is called `experts.json`.
Result<ExpertSet, Diagnostic> readManifest(const std::string &path, ReadOptions options = {});

} // namespace kimic::manifest
