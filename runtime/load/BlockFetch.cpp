#include "runtime/load/BlockFetch.h"

#include "formats/pack/PackReader.h"

namespace kimic::runtime {

Result<void> BlockFetch::finish(LoadContext context, const pack::BlockRef &block) {
  if (ticket_.value != block.storedLength)
    return makeError(ErrorId::ReadTooShort, block.offset, block.storedLength, ticket_.value);
  KIMIC_ASSIGN(std::uint8_t * raw, context.cache.allocate(block.rawLength));
  auto decoded = pack::decodeBlock(block, {stored_, block.storedLength}, {raw, block.rawLength});
  if (!decoded.ok()) {
    context.cache.free(raw);
    return decoded;
  }
  raw_ = {raw, block.rawLength};
  return {};
}

Result<bool> BlockFetch::poll(LoadContext context, const pack::BlockRef &block) {
  if (raw_.data())
    return true;
  if (isWaiting())
    return false;
  if (isCancelled())
    release(context);
  if (ticket_.state == Ticket::State::Idle) {
    KIMIC_ASSIGN(stored_, context.cache.allocate(block.storedLength));
    context.requests.read(ticket_, block.offset, block.storedLength, stored_);
    return false;
  }
  Result<void> outcome = ticket_.state == Ticket::State::Done ? finish(context, block) : ticket_.error;
  context.cache.free(stored_);
  stored_ = nullptr;
  ticket_ = Ticket{};
  if (!outcome.ok())
    return outcome.error();
  return true;
}

std::span<std::uint8_t> BlockFetch::take() {
  std::span<std::uint8_t> raw = raw_;
  raw_ = {};
  return raw;
}

void BlockFetch::release(LoadContext context) {
  context.cache.free(stored_);
  stored_ = nullptr;
  context.cache.free(take().data());
  ticket_ = Ticket{};
}

} // namespace kimic::runtime
