// kimic diff: in which experts and in what two packs differ.
#include "compiler/tools/kimic/Command.h"
#include "compiler/tools/kimic/PackFile.h"
#include "formats/pack/PackReader.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <map>
#include <memory>

namespace kimic::tool {

namespace {

struct Change {
  std::string id;
  std::vector<const char *> what;
};

struct Difference {
  std::vector<std::string> added, removed; ///< ids of experts, in the order of their pack
  std::vector<Change> changed;             ///< in the order of the first pack
  std::vector<const char *> pack;          ///< what differs besides experts
};

std::map<std::string, std::uint32_t> numbersOf(const PackFile &pack) {
  std::map<std::string, std::uint32_t> numbers;
  for (std::uint32_t i = 0; i < pack.names.size(); ++i)
    numbers.emplace(pack.names[i].id, i);
  return numbers;
}

/// Next experts by id, because numbers depend on what else is in a pack.
std::vector<std::pair<std::string, unsigned>> nextOf(const PackFile &pack, std::uint32_t expert) {
  std::vector<std::pair<std::string, unsigned>> next;
  for (const pack::Transition &transition : pack.next[expert])
    next.emplace_back(pack.names[transition.expert].id, transition.chance);
  return next;
}

std::vector<const char *> changesOf(const PackFile &a, std::uint32_t i, const PackFile &b, std::uint32_t j) {
  const pack::LeafEntry &before = a.experts[i], &after = b.experts[j];
  std::vector<const char *> what;
  if (!(a.signatures[before.kernel] == b.signatures[after.kernel]))
    what.push_back("structure");
  // Equal stored bytes of a codec that needs nothing else are equal parameters; others have to be decoded.
  const bool isSame = before.data.sha256 == after.data.sha256 && before.data.codec == after.data.codec &&
                      before.data.rawLength == after.data.rawLength && before.data.codec != pack::Codec::Delta;
  if (!isSame && parametersOf(a, i) != parametersOf(b, j))
    what.push_back("parameters");
  if (before.domain != after.domain)
    what.push_back("domain");
  if (before.confidenceThreshold != after.confidenceThreshold)
    what.push_back("threshold");
  if (nextOf(a, i) != nextOf(b, j))
    what.push_back("next experts");
  if (i != j)
    what.push_back("number");
  return what;
}

Difference compare(const PackFile &a, const PackFile &b) {
  Difference difference;
  const std::map<std::string, std::uint32_t> inA = numbersOf(a), inB = numbersOf(b);
  for (std::uint32_t i = 0; i < a.names.size(); ++i) {
    auto found = inB.find(a.names[i].id);
    if (found == inB.end())
      difference.removed.push_back(a.names[i].id);
    else if (auto what = changesOf(a, i, b, found->second); !what.empty())
      difference.changed.push_back({a.names[i].id, std::move(what)});
  }
  for (const ExpertNames &names : b.names)
    if (!inA.contains(names.id))
      difference.added.push_back(names.id);

  if (a.root.router != b.root.router)
    difference.pack.push_back("router");
  if (a.metadata != b.metadata)
    difference.pack.push_back("metadata");
  auto modulesOf = [](const PackFile &pack) {
    std::vector<std::vector<std::uint8_t>> modules;
    for (const pack::KernelGroup &group : pack.root.groups)
      for (abi::Variant variant : variantsOf(pack.header))
        modules.push_back(blockOf(pack, group.module(variant)));
    return modules;
  };
  if (a.header.variants != b.header.variants || a.signatures != b.signatures || modulesOf(a) != modulesOf(b))
    difference.pack.push_back("kernels");
  if (a.digest != b.digest && a.header.contentId == b.header.contentId)
    difference.pack.push_back("encoding");
  return difference;
}

void diff(const std::string &first, const std::string &second, bool saysByCode, Context &context) {
  const PackFile a = openPackFile(first), b = openPackFile(second);
  const Difference difference = compare(a, b);
  const bool isSame = a.header.contentId == b.header.contentId;
  if (context.isJson) {
    Json changed = Json::array();
    for (const Change &change : difference.changed)
      changed.push_back({{"id", change.id}, {"what", change.what}});
    std::fputs(pretty({{"schema", "kimic-diff/1"},
                       {"packs", {first, second}},
                       {"digests", {hexOf(a.digest), hexOf(b.digest)}},
                       {"content_ids", {hexOf(a.header.contentId), hexOf(b.header.contentId)}},
                       {"same_contents", isSame},
                       {"added", difference.added},
                       {"removed", difference.removed},
                       {"changed", std::move(changed)},
                       {"pack", difference.pack}})
                   .c_str(),
               stdout);
  } else {
    std::string out;
    for (const std::string &id : difference.removed)
      out += "- " + id + "\n";
    for (const std::string &id : difference.added)
      out += "+ " + id + "\n";
    for (const Change &change : difference.changed)
      out += fmt::format("~ {}: {}\n", change.id, fmt::join(change.what, ", "));
    if (!difference.pack.empty())
      out += fmt::format("{}\n", fmt::join(difference.pack, ", "));
    out += isSame ? "same contents\n"
                  : fmt::format("{} added, {} removed, {} changed\n", difference.added.size(),
                                difference.removed.size(), difference.changed.size());
    std::fputs(printable(out).c_str(), stdout);
  }
  if (saysByCode && !isSame)
    throw Failure(ExitCode::Failure, "the packs have different contents");
}

} // namespace

void addDiff(CLI::App &app, Context &context) {
  CLI::App *command = app.add_subcommand("diff", "Show in which experts, and in what, two packs differ");
  struct Options {
    std::string first, second;
    bool saysByCode = false;
  };
  auto options = std::make_shared<Options>();
  command->add_option("PACK", options->first, "The one pack")->required();
  command->add_option("OTHER", options->second, "The other pack")->required();
  command->add_flag("--exit-code", options->saysByCode, "Exit with 1 if the contents differ");
  command->footer("Experts are compared by id. Packs with the same content id hold the same, whatever their bytes.");
  addOutputOptions(*command, context);
  command->callback([options, &context] {
    context.run = [options, &context] { diff(options->first, options->second, options->saysByCode, context); };
  });
}

} // namespace kimic::tool
