#include "runtime/load/ExpertLoader.h"

#include "formats/pack/PackReader.h"
#include "formats/quant/Parameters.h"

namespace kimic::runtime {

void ExpertLoader::drop(std::unique_ptr<Arriving> &arriving) {
  arriving->data.release(core_);
  Expert &record = *arriving->record;
  std::unique_ptr<Arriving> next = std::move(arriving->next);
  arriving = std::move(next);
  --record.pins;
  session_.sweep(record.id);
}

std::unique_ptr<ExpertLoader::Arriving> &ExpertLoader::find(std::uint32_t expert) {
  std::unique_ptr<Arriving> *at = &arriving_;
  while (*at && (*at)->record->id != expert) {
    if (((*at)->isAbandoned && !(*at)->data.isWaiting()) || (*at)->data.isCancelled())
      drop(*at);
    else
      at = &(*at)->next;
  }
  return *at;
}

Status ExpertLoader::advance(Arriving &arriving, const std::span<std::uint8_t> *base) {
  Expert &record = *arriving.record;
  const pack::LeafEntry &entry = record.entry;
  Status data = arriving.data.poll(core_, entry.data, base);
  if (data > 0)
    return data;
  KIMIC_STEP(linker_.fetch(entry.kernel));
  KIMIC_STEP(data);
  const Kernel &kernel = linker_.kernel(entry.kernel);
  std::span<const std::uint8_t> bytes = arriving.data.bytes();
  bool isRouter = record.id == session_.header().listed();
  std::uint64_t columnBytes = isRouter ? session_.root().router->columnBytes() : 0;
  KIMIC_STEP(core_.statusOf(pack::checkParameters(record.id, entry, kernel.signature, kernel.layout, columnBytes)));
  KIMIC_STEP(core_.statusOf(quant::validateParameters(
      kernel.signature, kernel.layout, bytes.first(bytes.size() - static_cast<std::size_t>(columnBytes)))));
  if (isRouter)
    KIMIC_STEP(core_.statusOf(pack::checkColumns(pack::columnsOf(*session_.root().router, bytes))));
  record.kernel = &kernel;
  core_.stats.prefetched += !arriving.isDemanded;
  core_.cache.insert(record, arriving.data.take(), arriving.isDemanded ? KIMIC_DEMANDED : KIMIC_PREFETCH);
  return KIMIC_OK;
}

Status ExpertLoader::fetchBase(const Expert &record, Expert *&base) {
  const pack::LeafEntry &entry = record.entry;
  if (entry.base == pack::kNoExpert)
    return KIMIC_OK;
  Expert *found;
  KIMIC_STEP(session_.fetch(entry.base, found));
  KIMIC_STEP(core_.statusOf(pack::checkBase(record.id, entry.base, entry.data.rawLength, found->entry.data.codec,
                                            found->entry.data.rawLength)));
  if (!found->isResident())
    KIMIC_STEP(fetch(*found)); // which has no base itself
  core_.cache.touch(*found);
  ++found->pins; // memory for the expert must not be that of its base
  base = found;
  return KIMIC_OK;
}

Status ExpertLoader::fetchData(Expert &record, const Expert *base) {
  std::unique_ptr<Arriving> &arriving = find(record.id);
  if (!arriving) {
    KIMIC_STEP(core_.ensureRoom(sizeof(Arriving)));
    arriving.reset(new Arriving);
    arriving->record = &record;
    ++record.pins;
  }
  const bool isDemanded = core_.priority == KIMIC_DEMANDED;
  core_.stats.misses += isDemanded && !arriving->isDemanded;
  arriving->isDemanded |= isDemanded;
  Status status = advance(*arriving, base ? &base->parameters : nullptr);
  arriving->isAbandoned = status > 0;
  if (status == KIMIC_OK || (status > 0 && !arriving->data.isWaiting()))
    drop(arriving);
  return status;
}

Status ExpertLoader::fetch(Expert &record) {
  ++record.pins; // or the record of its base could take its place
  Expert *base = nullptr;
  Status status = fetchBase(record, base);
  if (status <= 0)
    status = fetchData(record, base);
  else if (std::unique_ptr<Arriving> &arriving = find(record.id))
    arriving->isAbandoned = true;
  if (base)
    --base->pins;
  --record.pins;
  if (status > 0)
    abandon(record.entry.base);
  return status;
}

void ExpertLoader::abandon(std::uint32_t expert) {
  if (std::unique_ptr<Arriving> &arriving = find(expert)) {
    arriving->isAbandoned = true;
    arriving->data.withdraw(core_);
    if (!arriving->data.isWaiting())
      drop(arriving);
  }
  session_.cancel(expert);
}

void ExpertLoader::cancel(std::uint32_t expert) {
  const Expert *record = session_.expert(expert);
  const std::uint32_t base = record ? record->entry.base : pack::kNoExpert;
  abandon(expert);
  abandon(base); // whoever else needs it asks again
}

void ExpertLoader::sweep() {
  for (std::unique_ptr<Arriving> *at = &arriving_; *at;)
    if ((*at)->isAbandoned && !(*at)->data.isWaiting())
      drop(*at);
    else
      at = &(*at)->next;
  session_.trim();
}

Status ExpertLoader::load(std::uint32_t expert) {
  if (expert >= session_.header().experts)
    return core_.fail(ErrorId::UnknownExpert, expert, session_.header().experts);
  Expert *record;
  KIMIC_STEP(session_.fetch(expert, record));
  if (!record->isResident())
    return fetch(*record);
  if (core_.priority == KIMIC_DEMANDED) {
    core_.stats.prefetchedUsed += record->list == KIMIC_PREFETCH;
    core_.cache.touch(*record);
    ++core_.stats.hits;
  }
  return KIMIC_OK;
}

} // namespace kimic::runtime
