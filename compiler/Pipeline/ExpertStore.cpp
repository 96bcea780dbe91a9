#include "kimic/ExpertStore.h"

#include "compiler/Pipeline/ExpertRecord.h"
#include "compiler/Store/Store.h"

#include <map>
#include <mutex>
#include <utility>

namespace kimic {

std::uint32_t shardOf(std::string_view id, std::uint32_t shards) {
  Digest digest = sha256({reinterpret_cast<const std::uint8_t *>(id.data()), id.size()});
  std::uint64_t number = 0;
  for (unsigned i = 0; i < 8; ++i)
    number = number << 8 | digest[i];
  return static_cast<std::uint32_t>(number % shards);
}

struct ExpertStore::State {
  struct Entry {
    std::shared_ptr<const ExpertRecord> record;
    store::ContentRef content;
    std::optional<store::Bytes> parameters;
  };

  store::Store &store;
  bool applyScaling;
  manifest::AccuracyBudget budget;
  std::mutex lock;
  std::map<Digest, Entry> entries;
  std::uint64_t room; ///< for more parameters
  std::size_t notStored = 0;

  void remember(const Digest &key, Entry entry) {
    std::lock_guard guard(lock);
    if (entry.parameters && entry.parameters->size() > room)
      entry.parameters.reset();
    auto [at, isNew] = entries.try_emplace(key);
    if (!isNew && at->second.parameters)
      room += at->second.parameters->size();
    if (entry.parameters)
      room -= entry.parameters->size();
    at->second = std::move(entry);
  }
};

ExpertStore::ExpertStore(store::Store &store, const CompileOptions &options, std::uint64_t maxInMemory)
    : state_(new State{.store = store,
                       .applyScaling = options.applyScaling,
                       .budget = options.budget,
                       .lock = {},
                       .entries = {},
                       .room = maxInMemory}) {}

ExpertStore::~ExpertStore() = default;

manifest::ReadOptions::Found ExpertStore::find(const manifest::Manifest &manifest, const manifest::ExpertEntry *expert,
                                               const manifest::FileDigests &files) {
  manifest::ReadOptions::Found found{expertKey(manifest, expert, files, state_->budget, state_->applyScaling), {}};
  if (auto known = record(found.key)) { // experts that are alike but for their names
    found.facts = known->network;
    return found;
  }
  auto action = state_->store.findAction(found.key);
  if (!action || action->contents.size() != 1)
    return found;
  auto record = decodeRecord(action->record);
  if (!record)
    return found;
  auto parameters = state_->store.findContent(action->contents[0]);
  if (!parameters)
    return found;
  found.facts = record->network;
  state_->remember(found.key, {std::make_shared<const ExpertRecord>(std::move(*record)), action->contents[0],
                               std::move(parameters)});
  return found;
}

std::shared_ptr<const ExpertRecord> ExpertStore::record(const Digest &key) const {
  std::lock_guard guard(state_->lock);
  auto at = state_->entries.find(key);
  return at == state_->entries.end() ? nullptr : at->second.record;
}

std::optional<std::vector<std::uint8_t>> ExpertStore::parameters(const Digest &key) const {
  store::ContentRef content;
  {
    std::lock_guard guard(state_->lock);
    auto at = state_->entries.find(key);
    if (at == state_->entries.end())
      return std::nullopt;
    if (at->second.parameters)
      return at->second.parameters;
    content = at->second.content;
  }
  return state_->store.findContent(content);
}

bool ExpertStore::put(const Digest &key, ExpertRecord record, std::span<const std::uint8_t> parameters) {
  store::ActionResult result{encode(record), {store::contentRefOf(parameters)}};
  bool isTaken = state_->store.putContent(parameters) && state_->store.putAction(key, result);
  State::Entry entry{std::make_shared<const ExpertRecord>(std::move(record)), result.contents[0],
                     store::Bytes(parameters.begin(), parameters.end())};
  state_->remember(key, std::move(entry));
  if (!isTaken) {
    std::lock_guard guard(state_->lock);
    ++state_->notStored;
  }
  return isTaken;
}

std::size_t ExpertStore::notStored() const {
  std::lock_guard guard(state_->lock);
  return state_->notStored;
}

} // namespace kimic
