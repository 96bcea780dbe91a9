// kimic inspect: what is in a pack.
#include "compiler/tools/kimic/Command.h"
#include "compiler/tools/kimic/PackFile.h"
#include "formats/pack/PackReader.h"
#include "formats/quant/Layout.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <memory>

namespace kimic::tool {

namespace {

const char *nameOf(quant::WeightFormat format) {
  switch (format) {
  case quant::WeightFormat::Int8:
    return "int8";
  case quant::WeightFormat::Int8Residual:
    return "int8+residual";
  case quant::WeightFormat::Float32:
    return "float32";
  }
  return "";
}

const char *nameOf(quant::Head head) {
  switch (head) {
  case quant::Head::None:
    return "none";
  case quant::Head::Softmax:
    return "softmax";
  case quant::Head::Argmax:
    return "argmax";
  }
  return "";
}

Json blockJson(const pack::BlockRef &block) {
  return {{"offset", block.offset},
          {"stored_bytes", block.storedLength},
          {"raw_bytes", block.rawLength},
          {"codec", pack::nameOf(block.codec)},
          {"sha256", hexOf(block.sha256)}};
}

struct NamedSection {
  const char *name;
  pack::Section section;
};

std::vector<NamedSection> sectionsOf(const pack::Header &header) {
  std::vector<NamedSection> sections = {{"header", {0, pack::kHeaderBytes}},
                                        {"signatures", {pack::kHeaderBytes, pack::kRootOffset - pack::kHeaderBytes}},
                                        {"root", header.root},
                                        {"first", header.first},
                                        {"leaves", header.leaves},
                                        {"data", header.data},
                                        {"kernels", header.kernelBlocks},
                                        {"scalar", header.scalar},
                                        {"metadata", header.meta},
                                        {"extensions", header.extensions}};
  std::erase_if(sections, [](const NamedSection &named) { return named.section.length == 0; });
  return sections;
}

std::vector<const char *> variantNames(const pack::Header &header) {
  std::vector<const char *> names;
  for (abi::Variant variant : variantsOf(header))
    names.push_back(abi::nameOf(variant));
  return names;
}

std::vector<std::uint32_t> expertsPerKernel(const PackFile &pack) {
  std::vector<std::uint32_t> counts(pack.header.kernels);
  for (const pack::LeafEntry &expert : pack.experts)
    ++counts[expert.kernel];
  return counts;
}

Json layersJson(const quant::Signature &signature) {
  Json layers = Json::array();
  for (std::size_t l = 0; l < signature.layers.size(); ++l) {
    Json groups = Json::array();
    for (const quant::ActivationGroup &group : signature.layers[l].groups)
      groups.push_back(
          {{"function", kimic::nameOf(group.function)}, {"clamped", group.clamped}, {"outputs", group.count}});
    layers.push_back({{"inputs", signature.fanIn(l)},
                      {"first_input", signature.layers[l].readBegin},
                      {"outputs", signature.layers[l].outputs()},
                      {"groups", std::move(groups)}});
  }
  return layers;
}

/// Who claims to have signed.
std::vector<std::string> signersOf(const PackFile &pack) {
  std::vector<std::string> keys;
  for (const pack::SignatureSlot &slot : pack.slots)
    keys.push_back(hexOf(slot.publicKey));
  return keys;
}

Json nextJson(const PackFile &pack, std::uint32_t expert) {
  Json next = Json::array();
  for (const pack::Transition &transition : pack.next[expert])
    next.push_back({{"expert", pack.names[transition.expert].id}, {"probability", transition.chance / 256.0}});
  return next;
}

std::string baseOf(const PackFile &pack, std::uint32_t expert) {
  const std::uint32_t base = pack.experts[expert].base;
  return base == pack::kNoExpert ? "" : pack.names[base].id;
}

Json inspectJson(const PackFile &pack) {
  const pack::Header &header = pack.header;
  Json result = {{"schema", "kimic-inspect/1"},
                 {"pack", pack.path},
                 {"bytes", header.fileBytes()},
                 {"digest", hexOf(pack.digest)},
                 {"content_id", hexOf(header.contentId)},
                 {"signed_by", signersOf(pack)},
                 {"header",
                  {{"version", fmt::format("{}.{}", header.major, header.minor)},
                   {"kernel_abi", header.kernelAbi},
                   {"required_features", header.requiredFeatures},
                   {"optional_features", header.optionalFeatures},
                   {"variants", variantNames(header)},
                   {"experts", header.experts},
                   {"kernels", header.kernels},
                   {"data_blocks", header.dataBlocks},
                   {"data_raw_bytes", header.dataRawLength},
                   {"experts_per_leaf", 1u << header.leafLog2},
                   {"leaves_per_branch", header.branchLog2 ? Json(1u << header.branchLog2) : Json()},
                   {"kernels_per_group", 1u << header.groupLog2},
                   {"next_experts", header.transitions}}}};
  Json sections = Json::array();
  for (const NamedSection &section : sectionsOf(header))
    sections.push_back({{"name", section.name}, {"offset", section.section.offset}, {"bytes", section.section.length}});
  result["sections"] = std::move(sections);

  result["router"] = nullptr;
  if (const auto &router = pack.root.router)
    result["router"] = {
        {"expert", pack.names[header.listed()].id},
        {"routed", router->routed},
        {"head", pack::nameOf(router->head)},
        {"strategy", pack::nameOf(router->strategy)},
        {"merge", pack::nameOf(router->merge)},
        {"top_k", router->topK},
        {"temperature", number(router->temperature)},
        {"scale", number(router->scale)},
        {"normalised", router->isNormalised},
        {"threshold", number(router->threshold)},
        {"min_votes", router->minVotes},
        {"fallback", router->fallback == pack::kNoExpert ? Json() : Json(pack.names[router->fallback].id)},
        {"columns", Json::array()}};
  if (const auto &router = pack.root.router)
    for (auto [name, isThere] : {std::pair{"bias", router->hasBias}, std::pair{"weights", router->hasWeights},
                                 std::pair{"thresholds", router->hasThresholds}})
      if (isThere)
        result["router"]["columns"].push_back(name);

  Json experts = Json::array();
  for (std::uint32_t i = 0; i < header.experts; ++i) {
    const pack::LeafEntry &entry = pack.experts[i];
    const quant::Signature &signature = pack.signatures[entry.kernel];
    experts.push_back({{"number", i},
                       {"id", pack.names[i].id},
                       {"name", pack.names[i].name},
                       {"domain", kimic::nameOf(entry.domain)},
                       {"inputs", signature.inputs},
                       {"outputs", signature.outputs()},
                       {"kernel", entry.kernel},
                       {"head", nameOf(signature.head)},
                       {"precision", nameOf(signature.weights())},
                       {"confidence_threshold", number(entry.confidenceThreshold)},
                       {"base", entry.base == pack::kNoExpert ? Json() : Json(baseOf(pack, i))},
                       {"next", nextJson(pack, i)},
                       {"data", blockJson(entry.data)}});
  }
  result["experts"] = std::move(experts);

  Json kernels = Json::array();
  std::vector<std::uint32_t> users = expertsPerKernel(pack);
  for (std::uint32_t k = 0; k < header.kernels; ++k)
    kernels.push_back({{"number", k},
                       {"group", header.groupOf(k)},
                       {"shape", shapeOf(pack.signatures[k])},
                       {"experts", users[k]},
                       {"layers", layersJson(pack.signatures[k])}});
  result["kernels"] = std::move(kernels);

  Json groups = Json::array();
  for (const pack::KernelGroup &group : pack.root.groups) {
    Json modules = Json::object();
    for (abi::Variant variant : variantsOf(header))
      modules[abi::nameOf(variant)] = blockJson(group.module(variant));
    groups.push_back({{"signatures", blockJson(group.signatures)}, {"modules", std::move(modules)}});
  }
  result["groups"] = std::move(groups);

  ColdStart start = coldStartOf(pack);
  result["cold_start"] = {{"requests", start.requests}, {"bytes", start.bytes}};
  result["metadata"] = pack.metadata;
  return result;
}

void printText(const PackFile &pack) {
  const pack::Header &header = pack.header;
  ColdStart start = coldStartOf(pack);
  std::string out;
  out += fmt::format("pack        {}\n", pack.path);
  if (auto name = pack.metadata.is_object() ? pack.metadata.find("name") : pack.metadata.end();
      name != pack.metadata.end() && name->is_string())
    out += fmt::format("name        {}\n", name->get<std::string>());
  out += fmt::format("digest      {}\n", hexOf(pack.digest));
  out += fmt::format("content id  {}\n", hexOf(header.contentId));
  for (const std::string &key : signersOf(pack))
    out += fmt::format("signed by   {} (see kimic verify --pubkey)\n", key);
  out += fmt::format("version     {}.{}, kernel ABI {}\n", header.major, header.minor, header.kernelAbi);
  out += fmt::format("size        {} bytes\n", withCommas(header.fileBytes()));
  out += fmt::format("experts     {}, {} distinct parameter blocks, {} bytes raw\n", header.experts, header.dataBlocks,
                     withCommas(header.dataRawLength));
  if (header.transitions)
    out += fmt::format("prefetch    up to {} next experts each\n", header.transitions);
  out += fmt::format("directory   {} of {}{}\n", counted(header.leafCount(), "leaf"),
                     counted(1u << header.leafLog2, "expert"),
                     header.branchLog2 ? fmt::format(", behind {}", counted(header.branchCount(), "branch")) : "");
  out += fmt::format("kernels     {} in {}: {}\n", header.kernels, counted(header.groupCount(), "group"),
                     fmt::join(variantNames(header), ", "));
  if (const auto &router = pack.root.router)
    out += fmt::format("router      {} chooses {} of {} experts ({}, {}, temperature {}), merge {}\n",
                       pack.names[header.listed()].id, router->topK, router->routed, pack::nameOf(router->strategy),
                       pack::nameOf(router->head), shortest(router->temperature), pack::nameOf(router->merge));
  else
    out += "router      none\n";
  out += fmt::format("cold start  {}, {} bytes at most until an expert answers\n\n", counted(start.requests, "request"),
                     withCommas(start.bytes));

  std::vector<std::vector<std::string>> lines;
  for (const NamedSection &section : sectionsOf(header))
    lines.push_back({section.name, withCommas(section.section.offset), withCommas(section.section.length)});
  out += table({"section", ">offset", ">bytes"}, lines) + "\n";

  lines.clear();
  for (std::uint32_t i = 0; i < header.experts; ++i) {
    const pack::LeafEntry &entry = pack.experts[i];
    lines.push_back({std::to_string(i), pack.names[i].id, kimic::nameOf(entry.domain),
                     shapeOf(pack.signatures[entry.kernel]), nameOf(pack.signatures[entry.kernel].weights()),
                     nameOf(pack.signatures[entry.kernel].head), std::to_string(entry.kernel),
                     shortest(entry.confidenceThreshold), withCommas(entry.data.rawLength),
                     withCommas(entry.data.storedLength), pack::nameOf(entry.data.codec), baseOf(pack, i)});
  }
  out += table({">#", "expert", "domain", "shape", "weights", "head", ">kernel", ">threshold", ">raw", ">stored",
                "codec", "base"},
               lines) +
         "\n";

  lines.clear();
  std::vector<std::uint32_t> users = expertsPerKernel(pack);
  for (std::uint32_t k = 0; k < header.kernels; ++k)
    lines.push_back({std::to_string(k), std::to_string(header.groupOf(k)), shapeOf(pack.signatures[k]),
                     fmt::format("{}", fmt::join(functionsOf(pack.signatures[k]), " ")), std::to_string(users[k])});
  out += table({">kernel", ">group", "shape", "functions", ">experts"}, lines);
  std::fputs(printable(out).c_str(), stdout);
}

} // namespace

void addInspect(CLI::App &app, Context &context) {
  CLI::App *command = app.add_subcommand("inspect", "Show what is in a pack: sections, experts, kernels, router");
  auto path = std::make_shared<std::string>();
  command->add_option("PACK", *path, "Pack to look into: a file, or a URL whose server knows ranges")->required();
  addOutputOptions(*command, context);
  command->callback([path, &context] {
    context.run = [path, &context] {
      PackFile pack = openPackFile(*path);
      if (context.isJson)
        std::fputs(pretty(inspectJson(pack)).c_str(), stdout);
      else
        printText(pack);
    };
  });
}

} // namespace kimic::tool
