// kimic extract: experts of a pack as a pack of their own, or the bytes of one.
#include "compiler/tools/kimic/Command.h"
#include "compiler/tools/kimic/PackFile.h"
#include "formats/base/File.h"
#include "formats/pack/PackVerify.h"
#include "formats/pack/PackWriter.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fmt/format.h>
#include <map>
#include <memory>

namespace kimic::tool {

namespace {

struct ExtractOptions {
  std::string pack, output, what = "pack";
  std::vector<std::string> experts;
  bool overwrites = false;
};

std::string textOf(std::span<const std::uint8_t> bytes) {
  return {reinterpret_cast<const char *>(bytes.data()), bytes.size()};
}

using Numbers = std::map<std::uint32_t, std::uint32_t>; ///< number in the pack -> in the new one

/// The number that `value` is there; null if it is none, or none that the new pack has.
Json renumbered(const Json &value, const Numbers &numbers) {
  if (!value.is_number_unsigned())
    return {};
  const auto number = value.get<std::uint64_t>();
  const auto at = number < pack::kNoExpert ? numbers.find(static_cast<std::uint32_t>(number)) : numbers.end();
  return at != numbers.end() ? Json(at->second) : Json();
}

/// What the metadata say about an expert, with numbers of experts as the new pack has them.
Json entryOf(Json entry, const Numbers &numbers) {
  if (!entry.is_object())
    return entry;
  if (auto fallback = entry.find("fallback"); fallback != entry.end())
    if (*fallback = renumbered(*fallback, numbers); fallback->is_null())
      entry.erase(fallback);
  if (auto others = entry.find("dependsOn"); others != entry.end()) {
    Json there = Json::array();
    for (const Json &other : *others)
      if (Json number = renumbered(other, numbers); !number.is_null())
        there.push_back(std::move(number));
    *others = std::move(there);
    if (others->empty())
      entry.erase(others);
  }
  return entry;
}

/// The metadata with the entries of these experts only, and without what tells about the others.
std::string metadataOf(const PackFile &pack, std::span<const std::uint32_t> experts, const Numbers &numbers) {
  Json metadata = pack.metadata.is_object() ? pack.metadata : Json::object();
  Json entries = Json::array();
  if (auto all = metadata.find("experts"); all != metadata.end() && all->is_array())
    for (std::uint32_t expert : experts)
      if (expert < all->size())
        entries.push_back(entryOf((*all)[expert], numbers));
  metadata["experts"] = std::move(entries);
  for (const char *key : {"kernels", "report", "router"})
    metadata.erase(key);
  // Without a router a request is what experts that read others take.
  if (std::none_of(experts.begin(), experts.end(), [&](std::uint32_t expert) { return pack.plan.find(expert); }))
    metadata.erase("features");
  return metadata.dump();
}

/// A pack of these experts, which has all that they read. It keeps their kernels' groups whole, so that their code is
/// that of the first pack.
std::vector<std::uint8_t> packOf(const PackFile &pack, std::span<const std::uint32_t> experts) {
  const pack::Header &header = pack.header;
  Numbers numbers, groups;
  for (std::uint32_t expert : experts) {
    numbers.emplace(expert, static_cast<std::uint32_t>(numbers.size()));
    groups.emplace(header.groupOf(pack.experts[expert].kernel), 0);
  }
  pack::PackContents contents;
  contents.meta = metadataOf(pack, experts, numbers);
  contents.groupLog2 = header.groupLog2;
  std::uint32_t number = 0;
  for (auto &[group, newNumber] : groups) {
    newNumber = number++;
    for (std::uint32_t i = 0; i < header.kernelsIn(group); ++i)
      contents.signatures.push_back(quant::encode(pack.signatures[header.firstKernel(group) + i]));
    for (abi::Variant variant : variantsOf(header))
      contents.modules[pack::variantIndex(variant)].push_back(blockOf(pack, pack.root.groups[group].module(variant)));
  }
  for (std::uint32_t expert : experts) {
    const pack::LeafEntry &entry = pack.experts[expert];
    const std::uint32_t group = header.groupOf(entry.kernel);
    pack::PackContents::Expert &copy = contents.experts.emplace_back();
    copy.kernel = (groups.at(group) << header.groupLog2) + entry.kernel - header.firstKernel(group);
    copy.domain = entry.domain;
    copy.confidenceThreshold = entry.confidenceThreshold;
    copy.parameters = parametersOf(pack, expert);
    if (expert == header.listed()) // the router as an expert like others: without its columns
      copy.parameters.resize(copy.parameters.size() - pack.root.router->columnBytes());
    if (const pack::Plan::Entry *entry = pack.plan.find(expert)) {
      contents.features = pack.plan.features;
      for (pack::Source source : pack.plan.sourcesOf(*entry)) {
        if (source.expert != pack::kNoExpert)
          source.expert = numbers.at(source.expert);
        copy.reads.push_back(source);
      }
    }
  }
  std::vector<std::uint8_t> bytes = take(pack.path, pack::writePack(contents));
  take(pack.path, pack::verifyPack(bytes));
  return bytes;
}

void extract(const ExtractOptions &options, Context &context) {
  const PackFile pack = openPackFile(options.pack);
  std::vector<std::uint32_t> experts;
  for (const std::string &id : options.experts) {
    experts.push_back(findExpert(pack.names, id, options.pack));
    if (std::count(experts.begin(), experts.end(), experts.back()) > 1)
      throw Failure(ExitCode::Usage, "expert '" + id + "' is named twice");
  }
  std::vector<std::uint8_t> bytes;
  if (options.what == "parameters")
    bytes = parametersOf(pack, experts[0]);
  else if (options.what == "signature")
    bytes = quant::encode(pack.signatures[pack.experts[experts[0]].kernel]);
  else
    bytes = packOf(pack, experts = withNeeds(pack, experts));
  take(writeFileAtomically(options.output, textOf(bytes), options.overwrites));
  if (context.isJson) {
    Json ids = Json::array();
    for (std::uint32_t expert : experts)
      ids.push_back(pack.names[expert].id);
    std::fputs(pretty({{"schema", "kimic-extract/1"},
                       {"pack", options.pack},
                       {"experts", std::move(ids)},
                       {"what", options.what},
                       {"output", options.output},
                       {"bytes", bytes.size()},
                       {"sha256", hexOf(sha256(bytes))}})
                   .c_str(),
               stdout);
  } else {
    fmt::print("{}: {} of {}, {} bytes\n", options.output, options.what, counted(experts.size(), "expert"),
               withCommas(bytes.size()));
  }
}

} // namespace

void addExtract(CLI::App &app, Context &context) {
  CLI::App *command = app.add_subcommand(
      "extract", "Write experts of a pack, with what they read, as a pack of their own, or their bytes");
  auto options = std::make_shared<ExtractOptions>();
  command->add_option("PACK", options->pack, "Pack to take from")->required();
  command->add_option("EXPERT", options->experts, "Ids of experts, or #NUMBER")->required()->expected(1, 1 << 20);
  command->add_option("-o,--output", options->output, "File to write")->required()->type_name("FILE");
  command
      ->add_option("--what", options->what,
                   "pack (default), parameters: the raw parameter block, or signature: the kernel's, of one expert")
      ->type_name("KIND")
      ->check(CLI::IsMember({"pack", "parameters", "signature"}).description(""));
  command->add_flag("-f,--force", options->overwrites, "Replace an existing output file");
  addOutputOptions(*command, context);
  command->callback([options, &context] {
    if (options->what != "pack" && options->experts.size() != 1)
      throw CLI::ValidationError("EXPERT", "--what " + options->what + " is for one expert");
    context.run = [options, &context] { extract(*options, context); };
  });
}

} // namespace kimic::tool
