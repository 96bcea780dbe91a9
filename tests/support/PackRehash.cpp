#include "tests/support/PackRehash.h"

#include "formats/base/Bytes.h"
#include "formats/pack/PackReader.h"
#include "formats/pack/PackVerify.h"

#include <algorithm>

namespace kimic::test {
namespace {

using namespace kimic::pack;

class Rehasher {
public:
  explicit Rehasher(std::vector<std::uint8_t> &file) : file_(file) {}

  void data() {
    // parseHeader wants a header with the right hash; what the caller gets may keep a wrong one.
    std::vector<std::uint8_t> copy(file_.begin(), file_.begin() + kHeaderBytes);
    setHash(copy, kHeaderHashAt, copy, 0, kHeaderHashAt);
    Result<Header> header = parseHeader(copy);
    if (!header.ok())
      return;
    forEachLeaf([&](std::uint32_t number, std::size_t row, std::uint64_t offset) {
      const std::uint64_t length = read(row, 4);
      if (number >= header->leafCount() || !contains(offset, length) || read(row + 8, 1) != 0)
        return;
      std::span<const std::uint8_t> stored = std::span(file_).subspan(offset, length);
      Result<Leaf> leaf = parseLeaf(*header, number, stored);
      if (!leaf.ok())
        return;
      // The column of hashes begins with the hash of the first entry.
      const Digest first = leaf->entries[0].data.sha256;
      std::size_t hashAt = static_cast<std::size_t>(
          offset + (std::search(stored.begin(), stored.end(), first.begin(), first.end()) - stored.begin()));
      for (const LeafEntry &entry : leaf->entries) {
        setHash(file_, hashAt, file_, entry.data.offset, entry.data.storedLength);
        hashAt += first.size();
      }
    });
  }

  void blocks() {
    rows(kRootOffset + kRouterBytes, sectionAt(1), 1 + modules() + routers());
    forEachLeaf([&](std::uint32_t, std::size_t leafRow, std::uint64_t offset) {
      setHash(file_, leafRow + 12, file_, offset, read(leafRow, 4));
    });
    const std::uint64_t directory =
        forEachBranch([&](std::uint64_t row, std::uint64_t offset, std::uint64_t, std::uint64_t count) {
          setHash(file_, row + 8, file_, offset, kBlockRowBytes * count);
        });
    std::uint64_t row = rows(directory, sectionAt(4), (groups() - 1) * (1 + modules()));
    row = rows(row, sectionAt(5), variants() & 1 ? groups() : 0);
    row = rows(row, sectionAt(6), 1);
    rows(row, sectionAt(7), read(12, 4) & kFeaturePlan);
  }

  void root() { setHash(file_, kRootHashAt, file_, kRootOffset, read(kLengthsAt, 8)); }
  void header() { setHash(file_, kHeaderHashAt, file_, 0, kHeaderHashAt); }

  void content() {
    std::vector<std::uint8_t> copy = file_;
    setHash(copy, kHeaderHashAt, copy, 0, kHeaderHashAt);
    if (Result<Digest> id = contentIdOf(copy); id.ok())
      std::copy(id->begin(), id->end(), file_.begin() + kContentIdAt);
  }

private:
  bool contains(std::uint64_t offset, std::uint64_t length) const {
    return offset <= file_.size() && length <= file_.size() - offset;
  }

  std::uint64_t read(std::uint64_t offset, unsigned bytes) const {
    if (!contains(offset, bytes))
      return 0;
    ByteReader in(std::span(file_).subspan(offset, bytes));
    return bytes == 1 ? in.u8() : bytes == 4 ? in.u32() : in.u64();
  }

  unsigned branchLog2() const { return std::min<unsigned>(file_[kBranchLog2At], kMaxBranchLog2); }
  std::uint64_t routers() const { return file_[kRouterAt] & 1; }
  std::uint64_t variants() const { return file_[kVariantsAt] & 7; }
  /// Modules of a group but the scalar one.
  std::uint64_t modules() const { return (variants() >> 1 & 1) + (variants() >> 2); }
  std::uint64_t leaves() const { return ((read(kExpertsAt, 4) - routers() - 1) >> (file_[kLeafLog2At] & 31)) + 1; }
  std::uint64_t groups() const { return ((read(kKernelsAt, 4) - 1) >> (file_[kGroupLog2At] & 31)) + 1; }
  /// Where the root's rows of leaves or branches begin.
  std::uint64_t directoryAt() const {
    return kRootOffset + kRouterBytes + kBlockRowBytes * (1 + modules() + routers());
  }

  /// Start of the section with this number in pack-v1 §3, the root being 0.
  std::uint64_t sectionAt(unsigned number) const {
    std::uint64_t end = kRootOffset;
    for (unsigned i = 0; i < number; ++i)
      if (std::uint64_t length = read(kLengthsAt + 8 * i, 8))
        end = alignUp(end) + length;
    return alignUp(end);
  }

  /// Calls visit(place of the row, place of the branch, first leaf, leaves) for each branch, if there are any. Returns
  /// where the root's rows of leaves or branches end.
  template <class Visit> std::uint64_t forEachBranch(Visit visit) const {
    std::uint64_t row = directoryAt(), offset = sectionAt(2);
    if (!branchLog2())
      return row + kBlockRowBytes * leaves();
    for (std::uint64_t first = 0; first < leaves() && contains(row, kBranchRowBytes); row += kBranchRowBytes) {
      const std::uint64_t inBranch = std::min<std::uint64_t>(leaves() - first, 1u << branchLog2());
      visit(row, offset, first, inBranch);
      offset = alignUp(offset + read(row, 8));
      first += inBranch;
    }
    return row;
  }

  /// Calls visit(number, place of the row, place of the leaf).
  template <class Visit> void forEachLeaf(Visit visit) const {
    auto walk = [&](std::uint64_t first, std::uint64_t count, std::uint64_t row, std::uint64_t leaf) {
      for (std::uint64_t i = 0; i < count && contains(row, kBlockRowBytes); ++i, row += kBlockRowBytes) {
        leaf = alignUp(leaf);
        visit(static_cast<std::uint32_t>(first + i), static_cast<std::size_t>(row), leaf);
        leaf += read(row, 4);
      }
    };
    if (!branchLog2())
      return walk(0, leaves(), directoryAt(), sectionAt(2));
    forEachBranch([&](std::uint64_t, std::uint64_t offset, std::uint64_t first, std::uint64_t count) {
      walk(first, count, offset, offset + kBlockRowBytes * count);
    });
  }

  /// Sets the hashes of so many rows, whose blocks lie from `offset` on; returns where the next row is.
  std::uint64_t rows(std::uint64_t row, std::uint64_t offset, std::uint64_t count) {
    for (; count && contains(row, kBlockRowBytes); --count, row += kBlockRowBytes) {
      const std::uint64_t length = read(row, 4);
      setHash(file_, row + 12, file_, offset, length);
      offset = alignUp(offset + length);
    }
    return row;
  }

  void setHash(std::vector<std::uint8_t> &to, std::uint64_t at, const std::vector<std::uint8_t> &from,
               std::uint64_t offset, std::uint64_t length) const {
    if (!contains(at, 32) || !contains(offset, length))
      return;
    Digest digest = sha256(std::span(from).subspan(offset, length));
    std::copy(digest.begin(), digest.end(), to.begin() + static_cast<std::ptrdiff_t>(at));
  }

  std::vector<std::uint8_t> &file_;
};

} // namespace

void rehashPack(std::vector<std::uint8_t> &file, RehashLevels levels) {
  if (file.size() < kHeaderBytes)
    return;
  Rehasher rehasher(file);
  if (levels.data)
    rehasher.data();
  if (levels.blocks)
    rehasher.blocks();
  if (levels.root)
    rehasher.root();
  if (levels.content)
    rehasher.content();
  if (levels.header)
    rehasher.header();
}

} // namespace kimic::test
