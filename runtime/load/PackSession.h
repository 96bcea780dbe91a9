// An open pack: header and root directory, and the leaves that were asked for.
#pragma once

#include "runtime/load/BlockFetch.h"

#include <memory>
#include <optional>

namespace kimic::runtime {

class PackSession {
public:
  explicit PackSession(Core &core) : core_(core) {}

  /// Makes open() refuse every other pack: PackDigest.
  void requireDigest(const Digest &digest) { required_ = digest; }

  /// Reads and verifies header and root with one request.
  Status open();
  bool isOpen() const { return isOpen_; }

  /// REQUIRES: isOpen().
  const pack::Header &header() const { return header_; }
  const pack::Root &root() const { return root_; }
  const Digest &digest() const { return digest_; }

  /// Reads the leaf of the expert, and before that its branch if there are some; then entry() and expert() may be
  /// called. The router's entry is there from the start. REQUIRES: the expert exists.
  Status fetchEntry(std::uint32_t expert);
  const pack::LeafEntry &entry(std::uint32_t expert) const;

  /// The experts to which requests most often go on from this one, likeliest first; empty before its leaf is there.
  std::span<const pack::Transition> nextOf(std::uint32_t expert) const;

  /// The runtime's record of an expert, made when its leaf arrives; null before.
  Expert *expert(std::uint32_t expert);

  /// Reads the metadata; then metadata() may be called.
  Status fetchMetadata();
  std::span<const std::uint8_t> metadata() const { return metadata_.bytes(); }
  void releaseMetadata();

private:
  struct Leaf {
    BlockFetch fetch;
    std::vector<pack::LeafEntry> entries;
    std::vector<pack::Transition> next; ///< of all entries
    std::unique_ptr<Expert[]> experts;  ///< null until the leaf is there
  };
  struct Branch {
    BlockFetch fetch;
    std::vector<pack::BlockRef> rows;
    std::unique_ptr<Leaf[]> leaves; ///< null until the rows are there
  };

  Status readRoot();
  bool isRouter(std::uint32_t expert) const { return expert == header_.listed(); }
  /// The branch that has the row of a leaf; without branches there is one record, which has all rows.
  Branch &branchOf(std::uint32_t leaf) const { return branches_[header_.branchLog2 ? leaf >> header_.branchLog2 : 0]; }
  std::uint32_t indexInBranch(std::uint32_t leaf) const {
    return header_.branchLog2 ? leaf & ((1u << header_.branchLog2) - 1) : leaf;
  }
  /// REQUIRES: the rows of the leaf's branch are there.
  Leaf &leafAt(std::uint32_t number) const { return branchOf(number).leaves[indexInBranch(number)]; }
  Status fetchRows(std::uint32_t leaf);
  Status takeRows(Branch &branch, std::vector<pack::BlockRef> rows);
  Status parseLeaf(std::uint32_t number, Leaf &leaf);

  Core &core_;
  Ticket firstRead_;
  std::uint8_t *firstBytes_ = nullptr;
  bool isOpen_ = false;
  std::optional<Digest> required_;
  Digest digest_{};
  pack::Header header_;
  pack::Root root_;
  std::unique_ptr<Branch[]> branches_;
  pack::LeafEntry routerEntry_;
  Expert router_;
  BlockFetch metadata_;
};

} // namespace kimic::runtime
