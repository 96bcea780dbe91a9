#include "runtime/load/PackSession.h"

#include "formats/pack/PackReader.h"

namespace kimic::runtime {

Result<void> PackSession::readRoot() {
  if (firstRead_.value > pack::kFirstReadBytes)
    return makeError(ErrorId::ReadTooShort, 0, pack::kFirstReadBytes, firstRead_.value);
  std::span<const std::uint8_t> bytes(firstBytes_, firstRead_.value);
  KIMIC_ASSIGN(header_, pack::parseHeader(bytes));
  const pack::Section &root = header_.root;
  if (root.end() > bytes.size())
    return makeError(ErrorId::ReadTooShort, 0, pack::kFirstReadBytes, bytes.size());
  // Its rows are decoded to about their size in the pack; leaves get a record each.
  KIMIC_TRY(context_.cache.ensureRoom(4 * root.length + header_.leafCount() * sizeof(Leaf) + 1024));
  KIMIC_ASSIGN(root_, pack::parseRoot(header_, bytes.subspan(root.offset, root.length)));
  leaves_.reset(new Leaf[header_.leafCount()]);
  isOpen_ = true;
  return {};
}

Result<bool> PackSession::open() {
  if (isOpen_)
    return true;
  if (firstRead_.state == Ticket::State::Waiting)
    return false;
  if (firstRead_.state == Ticket::State::Idle) {
    KIMIC_ASSIGN(firstBytes_, context_.cache.allocate(pack::kFirstReadBytes));
    context_.requests.read(firstRead_, 0, pack::kFirstReadBytes, firstBytes_);
    return false;
  }
  Result<void> outcome = firstRead_.state == Ticket::State::Done ? readRoot() : firstRead_.error;
  context_.cache.free(firstBytes_);
  firstBytes_ = nullptr;
  firstRead_ = Ticket{};
  if (!outcome.ok())
    return outcome.error();
  return true;
}

Result<bool> PackSession::fetchEntry(std::uint32_t expert) {
  std::uint32_t number = header_.leafOf(expert);
  Leaf &leaf = leaves_[number];
  if (leaf.experts)
    return true;
  KIMIC_ASSIGN(bool arrived, leaf.fetch.poll(context_, root_.leaves[number]));
  if (!arrived)
    return false;
  std::uint32_t count = header_.expertsIn(number);
  Result<void> outcome = context_.cache.ensureRoom(count * (2 * sizeof(pack::LeafEntry) + sizeof(Expert)) + 1024);
  if (outcome.ok()) {
    Result<pack::Leaf> entries = pack::parseLeaf(header_, number, leaf.fetch.bytes());
    if (entries.ok())
      leaf.entries = std::move(entries).value();
    else
      outcome = entries.error();
  }
  leaf.fetch.release(context_);
  if (!outcome.ok())
    return outcome.error();
  leaf.experts.reset(new Expert[count]);
  for (std::uint32_t i = 0; i < count; ++i)
    leaf.experts[i].id = header_.firstExpert(number) + i;
  return true;
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

Result<bool> PackSession::fetchMetadata() {
  if (root_.meta.rawLength == 0)
    return true;
  return metadata_.poll(context_, root_.meta);
}

void PackSession::releaseMetadata() {
  if (metadata_.bytes().data())
    metadata_.release(context_);
}

} // namespace kimic::runtime
