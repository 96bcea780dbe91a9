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
  // Its rows are decoded to about their size in the pack.
  const std::uint32_t branches = header_.branchLog2 ? header_.branchCount() : 1;
  KIMIC_STEP(core_.ensureRoom(4 * section.length + branches * sizeof(Branch) + 1024));
  Result<pack::Root> root = pack::parseRoot(header_, bytes.subspan(section.offset, section.length));
  KIMIC_STEP(core_.statusOf(root));
  root_ = std::move(root).value();
  branches_.reset(new Branch[branches]);
  if (!header_.branchLog2)
    KIMIC_STEP(takeRows(branches_[0], std::move(root_.leaves)));
  static_cast<pack::ExpertEntry &>(routerEntry_) = root_.routerEntry;
  router_.id = header_.listed();
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

Status PackSession::takeRows(Branch &branch, std::vector<pack::BlockRef> rows) {
  KIMIC_STEP(core_.ensureRoom(rows.size() * sizeof(Leaf) + 1024));
  branch.leaves.reset(new Leaf[rows.size()]);
  branch.rows = std::move(rows);
  return KIMIC_OK;
}

Status PackSession::fetchRows(std::uint32_t leaf) {
  Branch &branch = branchOf(leaf);
  if (branch.leaves)
    return KIMIC_OK;
  const std::uint32_t number = leaf >> header_.branchLog2;
  KIMIC_STEP(branch.fetch.poll(core_, root_.branches[number].block));
  KIMIC_STEP(core_.ensureRoom(2 * branch.fetch.bytes().size() + 1024));
  Result<std::vector<pack::BlockRef>> rows = pack::parseBranch(header_, root_, number, branch.fetch.bytes());
  branch.fetch.release(core_);
  KIMIC_STEP(core_.statusOf(rows));
  return takeRows(branch, std::move(rows).value());
}

Status PackSession::parseLeaf(std::uint32_t number, Leaf &leaf) {
  std::uint32_t count = header_.expertsIn(number);
  KIMIC_STEP(core_.ensureRoom(
      count * (2 * sizeof(pack::LeafEntry) + sizeof(Expert) + header_.transitions * sizeof(pack::Transition) * 2) +
      1024));
  Result<pack::Leaf> parsed = pack::parseLeaf(header_, number, leaf.fetch.bytes());
  KIMIC_STEP(core_.statusOf(parsed));
  leaf.entries = std::move(parsed->entries);
  leaf.next = std::move(parsed->next);
  leaf.experts.reset(new Expert[count]);
  for (std::uint32_t i = 0; i < count; ++i)
    leaf.experts[i].id = header_.firstExpert(number) + i;
  return KIMIC_OK;
}

Status PackSession::fetchEntry(std::uint32_t expert) {
  if (isRouter(expert))
    return KIMIC_OK;
  std::uint32_t number = header_.leafOf(expert);
  KIMIC_STEP(fetchRows(number));
  Leaf &leaf = leafAt(number);
  if (leaf.experts)
    return KIMIC_OK;
  KIMIC_STEP(leaf.fetch.poll(core_, branchOf(number).rows[indexInBranch(number)]));
  Status outcome = parseLeaf(number, leaf);
  leaf.fetch.release(core_);
  return outcome;
}

const pack::LeafEntry &PackSession::entry(std::uint32_t expert) const {
  if (isRouter(expert))
    return routerEntry_;
  std::uint32_t number = header_.leafOf(expert);
  return leafAt(number).entries[expert - header_.firstExpert(number)];
}

std::span<const pack::Transition> PackSession::nextOf(std::uint32_t expert) const {
  if (expert >= header_.listed())
    return {};
  const std::uint32_t number = header_.leafOf(expert);
  if (!branchOf(number).leaves || !leafAt(number).experts)
    return {};
  const pack::LeafEntry &found = entry(expert);
  return std::span(leafAt(number).next).subspan(found.firstNext, found.nextCount);
}

Expert *PackSession::expert(std::uint32_t expert) {
  if (isRouter(expert))
    return &router_;
  std::uint32_t number = header_.leafOf(expert);
  if (!branchOf(number).leaves || !leafAt(number).experts)
    return nullptr;
  return &leafAt(number).experts[expert - header_.firstExpert(number)];
}

Status PackSession::fetchMetadata() { return root_.meta.rawLength ? metadata_.poll(core_, root_.meta) : KIMIC_OK; }

void PackSession::releaseMetadata() {
  if (metadata_.bytes().data())
    metadata_.release(core_);
}

} // namespace kimic::runtime
