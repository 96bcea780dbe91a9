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

  /// Reads the leaf of the expert; then entry() and expert() may be called. REQUIRES: the expert exists.
  Status fetchEntry(std::uint32_t expert);
  const pack::LeafEntry &entry(std::uint32_t expert) const;

  /// The runtime's record of an expert, made when its leaf arrives; null before.
  Expert *expert(std::uint32_t expert);

  /// Reads the metadata; then metadata() may be called.
  Status fetchMetadata();
  std::span<const std::uint8_t> metadata() const { return metadata_.bytes(); }
  void releaseMetadata();

private:
  struct Leaf {
    BlockFetch fetch;
    pack::Leaf entries;
    std::unique_ptr<Expert[]> experts; ///< null until the leaf is there
  };

  Status readRoot();
  Status parseLeaf(std::uint32_t number, Leaf &leaf);

  Core &core_;
  Ticket firstRead_;
  std::uint8_t *firstBytes_ = nullptr;
  bool isOpen_ = false;
  std::optional<Digest> required_;
  Digest digest_{};
  pack::Header header_;
  pack::Root root_;
  std::unique_ptr<Leaf[]> leaves_;
  BlockFetch metadata_;
};

} // namespace kimic::runtime
