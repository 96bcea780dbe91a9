// An open pack: header and root, the parts of the directory that were used last, and the records of experts.
//
// Leaves and branches are kept in bounded memory: what was not used for longest goes, and is read again when it is
// wanted. What the loading of an expert and its use need of its leaf is in the expert's record, which stays while the
// expert is resident or on its way.
#pragma once

#include "runtime/load/BlockFetch.h"

#include <memory>
#include <optional>

namespace kimic::runtime {

class PackSession {
public:
  explicit PackSession(Core &core) : core_(core) {}
  ~PackSession();

  /// Makes open() refuse every other pack: PackDigest.
  void requireDigest(const Digest &digest) { required_ = digest; }

  /// Reads and verifies header and root with one request, and the plan if there is one.
  Status open();
  bool isOpen() const { return isOpen_; }

  /// REQUIRES: isOpen().
  const pack::Header &header() const { return header_; }
  const pack::Root &root() const { return root_; }
  const Digest &digest() const { return digest_; }
  /// Without entries if the pack has none. What its lists say is checked as it is used.
  const pack::Plan &plan() const { return plan_; }
  bool hasPlan() const { return !plan_.entries.empty(); }
  /// Which is number i of the experts that this one needs, each behind all that it reads, itself the last; false if
  /// there are fewer.
  bool needed(std::uint32_t expert, std::uint32_t i, std::uint32_t &number) const;
  /// Numbers in a row for the expert, whose network has so many inputs.
  std::uint32_t rowOf(std::uint32_t expert, std::uint32_t inputs) const {
    return plan_.find(expert) ? plan_.features : inputs;
  }

  /// Reads the leaf of the expert, and before that its branch if there are some, unless the expert has a record; then
  /// `record` is that. It goes when another one is made while its expert is neither resident nor pinned. REQUIRES: the
  /// expert exists.
  Status fetch(std::uint32_t expert, Expert *&record);

  /// The expert's record; null if it has none.
  Expert *expert(std::uint32_t expert) const;

  /// Drops the expert's record if it is neither resident nor pinned, and others by the way; where the list ends.
  Expert **sweep(std::uint32_t expert);

  /// Nobody waits for the leaf of the expert any more, or for its branch.
  void cancel(std::uint32_t expert);

  /// The experts to which requests most often go on from this one, likeliest first; empty while its leaf is not there.
  std::span<const pack::Transition> nextOf(std::uint32_t expert);

  /// Drops what is over the bounds, and what nobody wants any more and has arrived.
  void trim();

  /// Reads the metadata; then metadata() may be called.
  Status fetchMetadata();
  std::span<const std::uint8_t> metadata() const { return metadata_.bytes(); }
  void releaseMetadata();

private:
  /// A block of the directory: the entries of a leaf, or the rows of a branch.
  struct Page {
    std::uint32_t number = 0; ///< of the leaf; of the branch: besides kBranch
    bool isParsed = false;
    bool isWanted = true; ///< not cancelled since it was asked for
    pack::BlockRef block;
    BlockFetch fetch;
    Array<pack::BlockRef> rows;
    pack::Leaf leaf;
    Page *older = nullptr; ///< the one used before this
  };
  static constexpr std::uint32_t kLists = 1024;
  static constexpr std::uint32_t kBranch = 0x80000000u;
  /// Bytes that parsed leaves may take, and parsed branches, besides the page that was used last.
  static constexpr std::size_t kLeafBytes = 96 << 10, kBranchBytes = 128 << 10;

  Status readRoot();
  Status readPlan();
  bool isRouter(std::uint32_t expert) const { return expert == header_.listed(); }
  /// The page of that number, now the most recently used; null if there is none.
  Page *find(std::uint32_t number);
  Status fetchPage(std::uint32_t number, Page *&page);
  Status parse(Page &page);

  Core &core_;
  Ticket firstRead_;
  std::uint8_t *firstBytes_ = nullptr;
  bool hasRoot_ = false, isOpen_ = false;
  std::optional<Digest> required_;
  Digest digest_{};
  pack::Header header_;
  pack::Root root_;
  pack::Plan plan_;
  BlockFetch planFetch_;  ///< holds the bytes of the plan
  Page *pages_ = nullptr; ///< the most recently used first
  BlockFetch metadata_;
  Expert *records_[kLists] = {}; ///< lists of experts whose numbers are equal mod kLists
};

} // namespace kimic::runtime
