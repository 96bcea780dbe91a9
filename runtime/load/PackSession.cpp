#include "runtime/load/PackSession.h"

#include "formats/pack/PackReader.h"

namespace kimic::runtime {

Status PackSession::readRoot() {
  if (firstRead_.state == Ticket::State::Failed)
    return core_.fail(firstRead_.error);
  if (firstRead_.value > pack::kFirstReadBytes)
    return core_.fail(ErrorId::ReadTooShort, 0, pack::kFirstReadBytes, firstRead_.value);
  std::span<const std::uint8_t> bytes(firstBytes_, firstRead_.value);
  Result<pack::Header> header = pack::parseHeader(bytes);
  KIMIC_STEP(core_.statusOf(header));
  digest_ = pack::packDigest(bytes);
  if (required_ && *required_ != digest_)
    return core_.fail(ErrorId::PackDigest);
  header_ = *header;
  const pack::Section &section = header_.root;
  if (section.end() > bytes.size())
    return core_.fail(ErrorId::ReadTooShort, 0, pack::kFirstReadBytes, bytes.size());
  // Its rows are decoded to about their size in the pack; leaves get a record each.
  KIMIC_STEP(core_.ensureRoom(4 * section.length + header_.leafCount() * sizeof(Leaf) + 1024));
  Result<pack::Root> root = pack::parseRoot(header_, bytes.subspan(section.offset, section.length));
  KIMIC_STEP(core_.statusOf(root));
  root_ = std::move(root).value();
  leaves_.reset(new Leaf[header_.leafCount()]);
  isOpen_ = true;
  return KIMIC_OK;
}

Status PackSession::open() {
  if (isOpen_)
    return KIMIC_OK;
  if (firstRead_.state == Ticket::State::Waiting)
    return KIMIC_PENDING;
  if (firstRead_.state == Ticket::State::Idle) {
    firstBytes_ = core_.allocate(pack::kFirstReadBytes);
    if (!firstBytes_)
      return core_.failure();
    core_.requests.read(firstRead_, 0, pack::kFirstReadBytes, firstBytes_, KIMIC_DEMANDED);
    return KIMIC_PENDING;
  }
  Status outcome = readRoot();
  core_.cache.free(firstBytes_);
  firstBytes_ = nullptr;
  firstRead_ = Ticket{};
  return outcome;
}

Status PackSession::parseLeaf(std::uint32_t number, Leaf &leaf) {
  std::uint32_t count = header_.expertsIn(number);
  KIMIC_STEP(core_.ensureRoom(count * (2 * sizeof(pack::LeafEntry) + sizeof(Expert)) + 1024));
  Result<pack::Leaf> entries = pack::parseLeaf(header_, number, leaf.fetch.bytes());
  KIMIC_STEP(core_.statusOf(entries));
  leaf.entries = std::move(entries).value();
  leaf.experts.reset(new Expert[count]);
  for (std::uint32_t i = 0; i < count; ++i)
    leaf.experts[i].id = header_.firstExpert(number) + i;
  return KIMIC_OK;
}

Status PackSession::fetchEntry(std::uint32_t expert) {
  std::uint32_t number = header_.leafOf(expert);
  Leaf &leaf = leaves_[number];
  if (leaf.experts)
    return KIMIC_OK;
  KIMIC_STEP(leaf.fetch.poll(core_, root_.leaves[number]));
  Status outcome = parseLeaf(number, leaf);
  leaf.fetch.release(core_);
  return outcome;
}

const pack::LeafEntry &PackSession::entry(std::uint32_t expert) const {
  std::uint32_t leaf = header_.leafOf(expert);
  return leaves_[leaf].entries[expert - header_.firstExpert(leaf)];
}

Expert *PackSession::expert(std::uint32_t expert) {
  std::uint32_t number = header_.leafOf(expert);
  Leaf &leaf = leaves_[number];
  return leaf.experts ? &leaf.experts[expert - header_.firstExpert(number)] : nullptr;
}

Status PackSession::fetchMetadata() { return root_.meta.rawLength ? metadata_.poll(core_, root_.meta) : KIMIC_OK; }

void PackSession::releaseMetadata() {
  if (metadata_.bytes().data())
    metadata_.release(core_);
}

} // namespace kimic::runtime
