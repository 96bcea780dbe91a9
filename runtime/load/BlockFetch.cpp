#include "runtime/load/BlockFetch.h"

#include "formats/pack/PackReader.h"

namespace kimic::runtime {

Status BlockFetch::finish(Core &core, const pack::BlockRef &block, std::span<const std::uint8_t> base) {
  if (ticket_.state == Ticket::State::Failed)
    return core.fail(ticket_.error);
  if (ticket_.value != block.storedLength)
    return core.fail(ErrorId::ReadTooShort, block.offset, block.storedLength, ticket_.value);
  std::uint8_t *raw = core.allocate(block.rawLength);
  if (!raw)
    return core.failure();
  raw_ = {raw, block.rawLength};
  return core.statusOf(pack::decodeBlock(block, {stored_, block.storedLength}, base, raw_));
}

Status BlockFetch::poll(Core &core, const pack::BlockRef &block, const std::span<std::uint8_t> *base) {
  if (raw_.data())
    return KIMIC_OK;
  if (isWaiting()) {
    if (core.priority == KIMIC_DEMANDED)
      ticket_.request.priority = KIMIC_DEMANDED;
    return KIMIC_PENDING;
  }
  if (isCancelled())
    release(core);
  if (ticket_.state == Ticket::State::Idle && block.storedLength) {
    stored_ = core.allocate(block.storedLength);
    if (!stored_)
      return core.failure();
    Arena::tag(stored_, KIMIC_MEMORY_COMPRESSED);
    core.requests.read(ticket_, block.offset, block.storedLength, stored_, core.priority);
    return KIMIC_PENDING;
  }
  const bool isDelta = block.codec == pack::Codec::Delta;
  if (isDelta && !base && ticket_.state == Ticket::State::Done)
    return KIMIC_PENDING;
  Status outcome = finish(core, block, isDelta && base ? *base : std::span<std::uint8_t>());
  std::span<std::uint8_t> raw = outcome == KIMIC_OK ? take() : raw_;
  release(core);
  if (outcome == KIMIC_OK)
    raw_ = raw;
  return outcome;
}

std::span<std::uint8_t> BlockFetch::take() {
  std::span<std::uint8_t> raw = raw_;
  raw_ = {};
  return raw;
}

void BlockFetch::withdraw(Core &core) {
  if (!isWaiting() || core.requests.withdraw(ticket_))
    release(core);
}

void BlockFetch::release(Core &core) {
  core.cache.free(stored_);
  stored_ = nullptr;
  core.cache.free(take().data());
  ticket_.reset();
}

} // namespace kimic::runtime
