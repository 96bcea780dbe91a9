#include "runtime/load/PackSession.h"

#include "formats/pack/PackReader.h"

namespace kimic::runtime {

PackSession::~PackSession() {
  while (Page *page = pages_) {
    pages_ = page->older;
    delete page;
  }
  for (Expert *&list : records_)
    while (Expert *record = list) {
      list = record->sibling;
      delete record;
    }
}

Status PackSession::readRoot() {
  if (firstRead_.state == Ticket::State::Failed)
    return core_.fail(firstRead_.error);
  if (firstRead_.value > pack::kFirstReadBytes)
    return core_.fail(ErrorId::ReadTooShort, 0, pack::kFirstReadBytes, firstRead_.value);
  std::span<const std::uint8_t> bytes(firstBytes_, firstRead_.value);
  KIMIC_STEP(core_.statusOf(pack::parseHeader(bytes, header_)));
  digest_ = pack::packDigest(bytes);
  if (required_ && *required_ != digest_)
    return core_.fail(ErrorId::PackDigest);
  const pack::Section &section = header_.root;
  if (section.end() > bytes.size())
    return core_.fail(ErrorId::ReadTooShort, 0, pack::kFirstReadBytes, bytes.size());
  // Rows are decoded to about their size in the pack.
  KIMIC_STEP(core_.ensureRoom(4 * section.length + 1024));
  KIMIC_STEP(core_.statusOf(pack::parseRoot(header_, bytes.subspan(section.offset, section.length), root_)));
  hasRoot_ = true;
  return KIMIC_OK;
}

Status PackSession::readPlan() {
  if (header_.hasPlan()) {
    KIMIC_STEP(planFetch_.poll(core_, root_.plan));
    Status outcome = core_.statusOf(pack::parsePlan(planFetch_.bytes(), plan_));
    if (outcome != KIMIC_OK) {
      planFetch_.release(core_);
      return outcome;
    }
  }
  isOpen_ = true;
  return KIMIC_OK;
}

Status PackSession::open() {
  if (isOpen_)
    return KIMIC_OK;
  if (hasRoot_)
    return readPlan();
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
  firstRead_.reset();
  return outcome == KIMIC_OK ? readPlan() : outcome;
}

PackSession::Page *PackSession::find(std::uint32_t number) {
  Page **at = &pages_;
  while (*at && (*at)->number != number)
    at = &(*at)->older;
  Page *page = *at;
  if (page) {
    *at = page->older;
    page->older = pages_;
    pages_ = page;
  }
  return page;
}

Status PackSession::parse(Page &page) {
  const std::span<const std::uint8_t> raw = page.fetch.bytes();
  if (page.number & kBranch) {
    KIMIC_STEP(core_.ensureRoom(2 * raw.size() + 1024));
    KIMIC_STEP(core_.statusOf(pack::parseBranch(header_, root_, page.number ^ kBranch, raw, page.rows)));
  } else {
    KIMIC_STEP(core_.ensureRoom(header_.expertsIn(page.number) *
                                    (sizeof(pack::LeafEntry) + header_.transitions * sizeof(pack::Transition)) +
                                1024));
    KIMIC_STEP(core_.statusOf(pack::parseLeaf(header_, page.number, raw, page.leaf)));
  }
  page.isParsed = true;
  return KIMIC_OK;
}

void PackSession::trim() {
  std::size_t leafBytes = 0, branchBytes = 0;
  for (Page **at = &pages_; *at;) {
    Page *page = *at;
    leafBytes +=
        page->leaf.entries.size() * sizeof(pack::LeafEntry) + page->leaf.next.size() * sizeof(pack::Transition);
    branchBytes += page->rows.size() * sizeof(pack::BlockRef);
    const bool isOver = page->number & kBranch ? branchBytes > kBranchBytes : leafBytes > kLeafBytes;
    if (page->fetch.isWaiting() || (page->isParsed ? page == pages_ || !isOver : page->isWanted)) {
      at = &page->older;
      continue;
    }
    page->fetch.release(core_);
    *at = page->older;
    delete page;
  }
}

Status PackSession::fetchPage(std::uint32_t number, Page *&page) {
  page = find(number);
  if (!page) {
    pack::BlockRef block;
    if (number & kBranch) {
      block = root_.branches[number ^ kBranch].block;
    } else if (header_.branchLog2) {
      Page *branch;
      KIMIC_STEP(fetchPage(kBranch | number >> header_.branchLog2, branch));
      block = branch->rows[number & ((1u << header_.branchLog2) - 1)];
    } else {
      block = root_.leaves[number];
    }
    KIMIC_STEP(core_.ensureRoom(sizeof(Page)));
    page = new Page;
    page->number = number;
    page->block = block;
    page->older = pages_;
    pages_ = page;
  }
  if (page->isParsed)
    return KIMIC_OK;
  page->isWanted = true;
  KIMIC_STEP(page->fetch.poll(core_, page->block));
  Status outcome = parse(*page);
  page->fetch.release(core_);
  trim();
  return outcome;
}

void PackSession::cancel(std::uint32_t expert) {
  if (!isOpen_)
    return;
  const std::uint32_t leaf = header_.leafOf(expert);
  for (std::uint32_t number : {kBranch | leaf >> header_.branchLog2, leaf})
    if (Page *page = find(number); page && !page->isParsed) {
      page->isWanted = false;
      page->fetch.withdraw(core_);
    }
  trim();
}

Expert **PackSession::sweep(std::uint32_t expert) {
  Expert **at = &records_[expert % kLists];
  while (Expert *record = *at) {
    if (record->isResident() || record->pins) {
      at = &record->sibling;
    } else {
      *at = record->sibling;
      delete record;
    }
  }
  return at;
}

Status PackSession::fetch(std::uint32_t expert, Expert *&record) {
  record = this->expert(expert);
  if (record)
    return KIMIC_OK;
  pack::LeafEntry entry;
  if (isRouter(expert)) {
    static_cast<pack::ExpertEntry &>(entry) = root_.routerEntry;
  } else {
    const std::uint32_t number = header_.leafOf(expert);
    Page *page;
    KIMIC_STEP(fetchPage(number, page));
    entry = page->leaf.entries[expert - header_.firstExpert(number)];
  }
  KIMIC_STEP(core_.ensureRoom(sizeof(Expert)));
  record = *sweep(expert) = new Expert;
  record->id = expert;
  record->entry = entry;
  return KIMIC_OK;
}

Expert *PackSession::expert(std::uint32_t expert) const {
  Expert *record = records_[expert % kLists];
  while (record && record->id != expert)
    record = record->sibling;
  return record;
}

std::span<const pack::Transition> PackSession::nextOf(std::uint32_t expert) {
  if (expert >= header_.listed())
    return {};
  const std::uint32_t number = header_.leafOf(expert);
  const Page *page = find(number);
  if (!page || !page->isParsed)
    return {};
  return page->leaf.nextOf(page->leaf.entries[expert - header_.firstExpert(number)]);
}

bool PackSession::needed(std::uint32_t expert, std::uint32_t i, std::uint32_t &number) const {
  const pack::Plan::Entry *entry = plan_.find(expert);
  const std::size_t count = entry ? plan_.needsOf(*entry).size() : 0;
  number = i < count ? plan_.needsOf(*entry)[i] : expert;
  return i <= count;
}

Status PackSession::fetchMetadata() { return root_.meta.rawLength ? metadata_.poll(core_, root_.meta) : KIMIC_OK; }

void PackSession::releaseMetadata() {
  if (metadata_.bytes().data())
    metadata_.release(core_);
}

} // namespace kimic::runtime
