// Writes packs. Native only: it needs liblz4 for compression.
//
// Two ways: writePack(contents) makes a small pack from memory; writePack(directory, source, sink) streams one of any
// size, whose encoded data blocks lie elsewhere. The second keeps the directory in memory, some 200 bytes per expert,
// and one block at a time.
#pragma once

#include "formats/base/Result.h"
#include "formats/pack/DataCodec.h"
#include "formats/pack/PackFormat.h"

#include <array>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace kimic::pack {

/// What a pack holds, free of everything that is only encoding.
struct PackContents {
  struct Expert {
    std::uint32_t kernel = 0;
    Domain domain = Domain::Reasoning;
    std::uint8_t flags = 0; ///< no bits are defined: 0
    float confidenceThreshold = 0;
    std::vector<std::uint8_t> parameters; ///< as quant::packParameters makes them for the kernel's signature
    std::vector<Transition> next;         ///< experts that are likely after this one, most likely first
    std::vector<Source> reads;            ///< what its inputs are put together from; empty: the whole request
    friend bool operator==(const Expert &, const Expert &) = default;
  };

  std::string meta = "{}"; ///< JSON
  /// encode(signature) of every kernel, by kernel number; a router's kernel is in the first group.
  std::vector<std::vector<std::uint8_t>> signatures;
  /// A group holds 2^groupLog2 kernels: abi::kGroupKernels, or more where thousands of kernels need fewer rows.
  std::uint8_t groupLog2 = kMinGroupLog2;
  /// [variantIndex][group]: wasm modules. A variant has one for every group, or none at all.
  std::array<std::vector<std::vector<std::uint8_t>>, kVariantCount> modules;
  std::vector<Expert> experts; ///< by expert number; with a router, its own network is the last one
  std::optional<Router> router;
  std::uint32_t features = 0; ///< numbers in a request; 0 unless an expert has `reads`

  friend bool operator==(const PackContents &, const PackContents &) = default;
};

/// The pack's bytes: a pure function of the contents and the order. Every block has the codec that makes it smallest;
/// equal parameter blocks are written once. What a reader would refuse in single parts is refused here with the
/// reader's error (numbers out of range, sizes of parameter blocks, limits), besides PackContentsModules,
/// PackContentsOrder and PackTooManyRows. Modules, metadata and the contents of parameter blocks are taken as they are:
/// verifyPack judges them.
/// `order`: the order of the data blocks, as the numbers of all listed experts, each once; empty: ascending.
Result<std::vector<std::uint8_t>> writePack(const PackContents &contents, std::span<const std::uint32_t> order = {});

/// The contents of a valid pack: the inverse of writePack. Errors as verifyPack, which it calls.
Result<PackContents> readContents(std::span<const std::uint8_t> file);

/// All of a pack but the bytes of its data blocks.
struct PackDirectory {
  struct Expert {
    std::uint32_t kernel = 0;
    Domain domain = Domain::Reasoning;
    std::uint8_t flags = 0;
    float confidenceThreshold = 0;
    std::uint32_t block = 0;                        ///< index into `blocks`
    std::uint32_t firstNext = 0, nextCount = 0;     ///< in `next`
    std::uint32_t firstSource = 0, sourceCount = 0; ///< in `sources`
  };

  std::string meta = "{}";
  std::vector<std::vector<std::uint8_t>> signatures;
  std::uint8_t groupLog2 = kMinGroupLog2;
  std::array<std::vector<std::vector<std::uint8_t>>, kVariantCount> modules;
  std::vector<Expert> experts;   ///< the listed ones, by number
  std::vector<DataBlock> blocks; ///< in the order of the data section; each is used by an expert
  std::vector<Transition> next;
  std::vector<Source> sources; ///< that experts read
  std::uint32_t features = 0;  ///< as in PackContents
  std::optional<Router> router;
  Expert routerExpert;    ///< the router's own network; `block` is not looked at
  EncodedData routerData; ///< not of Codec::Delta
};

/// Takes the bytes of a file one after another.
using ByteSink = std::function<Result<void>(std::span<const std::uint8_t>)>;
/// Gets the stored bytes of one of the directory's blocks.
using BlockSource = std::function<Result<void>(std::uint32_t block, std::vector<std::uint8_t> &stored)>;

/// Writes a pack front to back; `source` is asked for every block with stored bytes once, in order. The bytes that it
/// gives are compared with length and hash: PackBlockSize, PackBlockHash. Other errors as above; whatever `source` and
/// `sink` return ends the work. Returns the header of the pack.
Result<Header> writePack(const PackDirectory &directory, const BlockSource &source, const ByteSink &sink);

/// The smallest groups of kernels with which the rows of such a pack fit, or kMaxGroupLog2. `variants`: as in Header.
std::uint8_t smallestGroupLog2(std::uint32_t experts, std::uint32_t kernels, std::uint8_t variants);

} // namespace kimic::pack
