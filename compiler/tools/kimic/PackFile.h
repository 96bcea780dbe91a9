// A pack with its directory decoded: what commands look at.
#pragma once

#include "compiler/tools/kimic/PackNames.h"
#include "compiler/tools/kimic/PackSource.h"
#include "formats/pack/PackFormat.h"
#include "formats/quant/Signature.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace kimic::tool {

struct PackFile {
  PackFile() = default;
  PackFile(PackFile &&) = default;
  PackFile &operator=(PackFile &&) = default;

  std::string path;
  std::shared_ptr<PackSource> source;
  Digest digest{};
  std::vector<pack::SignatureSlot> slots; ///< whose signatures are not checked
  pack::Header header;
  pack::Root root;
  std::vector<pack::BlockRef> leaves;              ///< rows by leaf number
  std::vector<pack::LeafEntry> experts;            ///< by number; the router, if there is one, is the last
  std::vector<std::vector<pack::Transition>> next; ///< by expert
  std::vector<quant::Signature> signatures;        ///< by kernel number
  std::vector<std::uint8_t> planBytes;             ///< what `plan` refers to
  pack::Plan plan;                                 ///< what experts read; without entries if the pack has none
  Json metadata;                                   ///< null if they are no object
  std::vector<ExpertNames> names;                  ///< by expert number
};

/// Decodes a pack's directory. A Failure if it is corrupt; data and kernel blocks are not looked at.
PackFile decodePack(const std::string &path, std::string bytes);

/// The same for a file, or for a URL, of which only the directory, the signatures of kernels and the metadata are read.
PackFile openPackFile(const std::string &place);

/// The raw bytes of a block, verified.
std::vector<std::uint8_t> blockOf(const PackFile &pack, const pack::BlockRef &block);

/// The raw parameter block of an expert, verified.
std::vector<std::uint8_t> parametersOf(const PackFile &pack, std::uint32_t expert);

/// These experts, and behind them all others that they read, by whatever way round.
std::vector<std::uint32_t> withNeeds(const PackFile &pack, std::vector<std::uint32_t> experts);

/// What a browser reads before the first answer of an expert: the first 36 KiB, the plan, then the rest of the hot
/// range, then whatever of leaf, kernels (with the most demanding variant), data and their base lies beyond them, each
/// as one request; and the same of all that the expert reads. The worst expert, of those that the router chooses from
/// if there is one.
struct ColdStart {
  unsigned requests = 0;
  std::uint64_t bytes = 0;
};
ColdStart coldStartOf(const PackFile &pack);

/// "64-32-10"; "2-1+1x22+2" where layers read all values before them, not only the previous layer's, here 22 of one
/// neuron each.
std::string shapeOf(const quant::Signature &signature);

/// Names of the activation functions, each once, in order of appearance.
std::vector<std::string> functionsOf(const quant::Signature &signature);

std::string hexOf(const Digest &digest);
std::vector<abi::Variant> variantsOf(const pack::Header &header);

} // namespace kimic::tool
