#include "kimic/ExpertStore.h"

#include "compiler/Pipeline/ExpertRecord.h"

#include <utility>

namespace kimic {

std::uint32_t shardOf(std::string_view id, std::uint32_t shards) {
  Digest digest = sha256({reinterpret_cast<const std::uint8_t *>(id.data()), id.size()});
  std::uint64_t number = 0;
  for (unsigned i = 0; i < 8; ++i)
    number = number << 8 | digest[i];
  return static_cast<std::uint32_t>(number % shards);
}

ExpertStore::ExpertStore(store::Store &store, const CompileOptions &options, std::uint64_t maxInMemory)
    : store_(store), applyScaling_(options.applyScaling), budget_(options.budget), room_(maxInMemory) {}

ExpertStore::~ExpertStore() = default;

void ExpertStore::remember(const Digest &key, Entry entry) {
  std::lock_guard guard(lock_);
  if (entry.parameters && entry.parameters->size() > room_)
    entry.parameters.reset();
  auto [at, isNew] = entries_.try_emplace(key);
  if (!isNew && at->second.parameters)
    room_ += at->second.parameters->size();
  if (entry.parameters)
    room_ -= entry.parameters->size();
  at->second = std::move(entry);
}

manifest::ReadOptions::Found ExpertStore::find(const manifest::Manifest &manifest, const manifest::ExpertEntry *expert,
                                               const manifest::FileDigests &files) {
  manifest::ReadOptions::Found found{expertKey(manifest, expert, files, budget_, applyScaling_), {}};
  if (auto known = record(found.key)) { // experts that are alike but for their names
    found.facts = known->network;
    return found;
  }
  auto action = store_.findAction(found.key);
  if (!action || action->contents.size() != 1)
    return found;
  auto record = decodeRecord(action->record);
  if (!record)
    return found;
  auto parameters = store_.findContent(action->contents[0]);
  if (!parameters)
    return found;
  found.facts = record->network;
  remember(found.key,
           {std::make_shared<const ExpertRecord>(std::move(*record)), action->contents[0], std::move(parameters)});
  return found;
}

std::shared_ptr<const ExpertRecord> ExpertStore::record(const Digest &key) const {
  std::lock_guard guard(lock_);
  auto at = entries_.find(key);
  return at == entries_.end() ? nullptr : at->second.record;
}

std::optional<std::vector<std::uint8_t>> ExpertStore::parameters(const Digest &key) const {
  store::ContentRef content;
  {
    std::lock_guard guard(lock_);
    auto at = entries_.find(key);
    if (at == entries_.end())
      return std::nullopt;
    if (at->second.parameters)
      return at->second.parameters;
    content = at->second.content;
  }
  return store_.findContent(content);
}

bool ExpertStore::put(const Digest &key, ExpertRecord record, std::span<const std::uint8_t> parameters) {
  store::ActionResult result{encode(record), {store::contentRefOf(parameters)}};
  bool isTaken = store_.putContent(parameters) && store_.putAction(key, result);
  Entry entry{std::make_shared<const ExpertRecord>(std::move(record)), result.contents[0],
              store::Bytes(parameters.begin(), parameters.end())};
  remember(key, std::move(entry));
  if (!isTaken) {
    std::lock_guard guard(lock_);
    ++notStored_;
  }
  return isTaken;
}

std::size_t ExpertStore::notStored() const {
  std::lock_guard guard(lock_);
  return notStored_;
}

} // namespace kimic
