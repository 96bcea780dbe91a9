#include "tests/support/PackRehash.h"

#include "formats/base/Bytes.h"
#include "formats/pack/PackReader.h"

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
    std::uint64_t offset = header->leaves.offset;
    for (std::uint32_t number = 0; number < header->leafCount(); ++number) {
      const std::size_t row = kHeaderBytes + kRootFixedBytes + kBlockRowBytes * number;
      const std::uint64_t length = read(row, 4);
      if (!contains(offset, length))
        return;
      std::span<const std::uint8_t> stored = std::span(file_).subspan(offset, length);
      if (Result<Leaf> leaf = parseLeaf(*header, number, stored); leaf.ok() && read(row + 8, 1) == 0) {
        std::size_t hashAt = offset + length - 32 * leaf->size();
        for (const LeafEntry &entry : *leaf) {
          setHash(file_, hashAt, file_, entry.data.offset, entry.data.storedLength);
          hashAt += 32;
        }
      }
      offset = alignUp(offset + length);
    }
  }

  void blocks() {
    const std::uint64_t experts = read(kExpertsAt, 4), kernels = read(kKernelsAt, 4);
    const std::uint64_t leaves = ((experts - 1) >> (file_[kLeafLog2At] & 31)) + 1;
    std::uint64_t kernelRows = ((kernels - 1) >> (file_[kGroupLog2At] & 31)) + 1;
    kernelRows *=
        1 + std::uint64_t(file_[kVariantsAt] & 1) + (file_[kVariantsAt] >> 1 & 1) + (file_[kVariantsAt] >> 2 & 1);
    const std::uint64_t leavesAt = alignUp(kHeaderBytes + read(kLengthsAt, 8));
    const std::uint64_t metaAt = alignUp(leavesAt + read(kLengthsAt + 8, 8));
    const std::uint64_t kernelsAt = alignUp(metaAt + read(kLengthsAt + 16, 8));
    std::size_t row = kHeaderBytes + kRootFixedBytes - kBlockRowBytes;
    row = rows(row, metaAt, 1);
    row = rows(row, leavesAt, leaves);
    rows(row, kernelsAt, kernelRows);
  }

  void root() { setHash(file_, kRootHashAt, file_, kHeaderBytes, read(kLengthsAt, 8)); }
  void header() { setHash(file_, kHeaderHashAt, file_, 0, kHeaderHashAt); }

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

  std::size_t rows(std::size_t row, std::uint64_t offset, std::uint64_t count) {
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
  if (levels.header)
    rehasher.header();
}

} // namespace kimic::test
