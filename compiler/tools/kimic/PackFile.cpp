#include "compiler/tools/kimic/PackFile.h"

#include "compiler/tools/kimic/Command.h"
#include "formats/pack/PackReader.h"
#include "formats/pack/PackVerify.h"

#include <algorithm>
#include <fmt/format.h>
#include <set>

namespace kimic::tool {

static std::vector<std::uint8_t> part(const PackFile &pack, std::uint64_t offset, std::uint64_t length) {
  std::vector<std::uint8_t> bytes = pack.source->read(offset, length);
  if (bytes.size() != length)
    throw Failure(pack.path, makeError(ErrorId::PackFileSize, offset + bytes.size(), pack.header.fileBytes()));
  return bytes;
}

static std::vector<std::uint8_t> decode(const PackFile &pack, const pack::BlockRef &block,
                                        std::span<const std::uint8_t> base) {
  std::vector<std::uint8_t> stored = part(pack, block.offset, block.storedLength);
  std::vector<std::uint8_t> raw(block.rawLength);
  take(pack.path, pack::decodeBlock(block, stored, base, raw));
  return raw;
}

std::vector<std::uint8_t> blockOf(const PackFile &pack, const pack::BlockRef &block) { return decode(pack, block, {}); }

std::vector<std::uint8_t> parametersOf(const PackFile &pack, std::uint32_t expert) {
  const pack::LeafEntry &entry = pack.experts[expert];
  if (entry.base == pack::kNoExpert)
    return blockOf(pack, entry.data);
  const pack::LeafEntry &base = pack.experts[entry.base];
  take(pack.path, pack::checkBase(expert, entry.base, entry.data.rawLength, base.data.codec, base.data.rawLength));
  return decode(pack, entry.data, blockOf(pack, base.data));
}

static PackFile decodeFrom(const std::string &path, std::shared_ptr<PackSource> source) {
  PackFile pack;
  pack.path = path;
  pack.source = std::move(source);
  const std::vector<std::uint8_t> first = pack.source->read(0, pack::kFirstReadBytes);
  pack.header = take(path, pack::parseHeader(first));
  const pack::Header &header = pack.header;
  if (const std::uint64_t size = pack.source->size(); size != 0 && size != header.fileBytes())
    throw Failure(path, makeError(ErrorId::PackFileSize, size, header.fileBytes()));
  pack.digest = pack::packDigest(first);
  pack.slots = take(path, pack::parseSignatureSlots(first));
  pack.root = take(path, pack::parseRoot(header, part(pack, header.root.offset, header.root.length)));

  pack.source->prefetch(header.first.offset, header.leaves.end() - header.first.offset);
  if (header.branchLog2) {
    for (std::uint32_t i = 0; i < header.branchCount(); ++i) {
      auto rows = take(path, pack::parseBranch(header, pack.root, i, blockOf(pack, pack.root.branches[i].block)));
      pack.leaves.insert(pack.leaves.end(), rows.begin(), rows.end());
    }
  } else {
    pack.leaves.assign(pack.root.leaves.begin(), pack.root.leaves.end());
  }
  for (std::uint32_t i = 0; i < header.leafCount(); ++i) {
    pack::Leaf leaf = take(path, pack::parseLeaf(header, i, blockOf(pack, pack.leaves[i])));
    pack.experts.insert(pack.experts.end(), leaf.entries.begin(), leaf.entries.end());
    for (const pack::LeafEntry &entry : leaf.entries) {
      const std::span<const pack::Transition> next = leaf.nextOf(entry);
      pack.next.emplace_back(next.begin(), next.end());
    }
  }
  if (pack.root.router) {
    static_cast<pack::ExpertEntry &>(pack.experts.emplace_back()) = pack.root.routerEntry;
    pack.next.emplace_back();
  }
  for (std::uint32_t g = 0; g < header.groupCount(); ++g) {
    auto group = take(path, pack::parseSignatures(header, g, blockOf(pack, pack.root.groups[g].signatures)));
    pack.signatures.insert(pack.signatures.end(), group.begin(), group.end());
  }
  if (header.hasPlan()) {
    pack.plan = take(path, pack::parsePlan(pack.planBytes = blockOf(pack, pack.root.plan)));
    // Who asks what an expert reads uses the plan's numbers of experts as they are.
    take(path, pack::checkPlan(header, pack.plan, [&](std::uint32_t expert) -> const quant::Signature & {
           return pack.signatures[pack.experts[expert].kernel];
         }));
  }
  std::vector<std::uint8_t> metadata = blockOf(pack, pack.root.meta);
  pack.metadata = parseMetadata(std::string(metadata.begin(), metadata.end()));
  pack.names = expertNames(pack.metadata, header.experts);
  return pack;
}

PackFile openPackFile(const std::string &place) { return decodeFrom(place, openSource(place)); }

PackFile decodePack(const std::string &path, std::string bytes) { return decodeFrom(path, sourceOf(std::move(bytes))); }

std::vector<std::uint32_t> withNeeds(const PackFile &pack, std::vector<std::uint32_t> experts) {
  std::set<std::uint32_t> known(experts.begin(), experts.end());
  for (std::size_t i = 0; i < experts.size(); ++i)
    if (const pack::Plan::Entry *entry = pack.plan.find(experts[i]))
      for (const pack::Source &source : pack.plan.sourcesOf(*entry))
        if (source.expert != pack::kNoExpert && known.insert(source.expert).second)
          experts.push_back(source.expert);
  return experts;
}

ColdStart coldStartOf(const PackFile &pack) {
  const pack::Header &header = pack.header;
  const std::uint64_t first = std::min<std::uint64_t>(pack::kOpenReadBytes, header.fileBytes());
  pack::Section hot = pack::hotRange(header, pack.root);
  const pack::BlockRef &router = pack.root.routerEntry.data;
  if (hot.end() > first + pack::kMostHotBytes)
    hot = {router.offset, router.storedLength};
  ColdStart worst;
  // With a router the first answer is that of an expert which it chose.
  const std::uint32_t count = pack.root.router ? pack.root.router->routed : header.experts;
  for (std::uint32_t i = 0; i < count; ++i) {
    ColdStart start{1, first};
    auto read = [&](std::uint64_t begin, std::uint64_t end, const pack::Section &known) {
      begin = std::max(begin, std::min(first, end));
      if (begin == end || (begin >= known.offset && end <= known.end()))
        return;
      ++start.requests;
      start.bytes += end - begin;
    };
    read(hot.offset, hot.end(), {});
    if (header.hasPlan())
      read(pack.root.plan.offset, pack.root.plan.end(), {});
    std::set<std::uint64_t> known; // starts of blocks
    auto readOnce = [&](std::uint64_t begin, std::uint64_t end, const pack::Section &section) {
      if (known.insert(begin).second)
        read(begin, end, section);
    };
    auto readLeaf = [&](std::uint32_t number) {
      if (header.branchLog2) {
        const pack::BlockRef &branch = pack.root.branches[number >> header.branchLog2].block;
        readOnce(branch.offset, branch.end(), hot);
      }
      const pack::BlockRef &leaf = pack.leaves[number];
      readOnce(leaf.offset, leaf.end(), hot);
    };
    for (std::uint32_t expert : withNeeds(pack, {i})) {
      readLeaf(header.leafOf(expert));
      const pack::KernelGroup &group = pack.root.groups[header.groupOf(pack.experts[expert].kernel)];
      const pack::BlockRef &module = group.module(variantsOf(header).back());
      readOnce(group.signatures.offset, module.offset > group.signatures.offset ? module.end() : group.signatures.end(),
               hot);
      readOnce(pack.experts[expert].data.offset, pack.experts[expert].data.end(), {});
      if (const std::uint32_t base = pack.experts[expert].base; base != pack::kNoExpert) {
        readLeaf(header.leafOf(base));
        readOnce(pack.experts[base].data.offset, pack.experts[base].data.end(), {});
      }
    }
    worst.requests = std::max(worst.requests, start.requests);
    worst.bytes = std::max(worst.bytes, start.bytes);
  }
  return worst;
}

std::string shapeOf(const quant::Signature &signature) {
  std::string out = std::to_string(signature.inputs);
  std::uint32_t previous = signature.inputs;
  for (std::size_t l = 0; l < signature.layers.size();) {
    std::uint32_t outputs = signature.layers[l].outputs();
    bool readsAll = signature.fanIn(l) != previous;
    std::size_t end = l + 1; // of the run of equal layers
    while (end < signature.layers.size() && signature.layers[end].outputs() == outputs &&
           (signature.fanIn(end) != outputs) == readsAll)
      ++end;
    std::string layer = (readsAll ? "+" : "-") + std::to_string(outputs);
    if (end - l > 3) {
      out += fmt::format("{}x{}", layer, end - l);
    } else {
      for (std::size_t i = l; i < end; ++i)
        out += layer;
    }
    previous = outputs;
    l = end;
  }
  return out;
}

std::vector<std::string> functionsOf(const quant::Signature &signature) {
  std::vector<std::string> names;
  for (const quant::LayerSignature &layer : signature.layers)
    for (const quant::ActivationGroup &group : layer.groups)
      if (std::find(names.begin(), names.end(), kimic::nameOf(group.function)) == names.end())
        names.push_back(kimic::nameOf(group.function));
  return names;
}

std::string hexOf(const Digest &digest) {
  std::string out;
  for (std::uint8_t byte : digest)
    out += fmt::format("{:02x}", byte);
  return out;
}

std::vector<abi::Variant> variantsOf(const pack::Header &header) {
  std::vector<abi::Variant> variants;
  for (unsigned i = 0; i < pack::kVariantCount; ++i)
    if (header.hasVariant(pack::variantAt(i)))
      variants.push_back(pack::variantAt(i));
  return variants;
}

} // namespace kimic::tool
