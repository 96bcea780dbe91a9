#include "runtime/load/ExpertLoader.h"

#include "formats/pack/PackReader.h"
#include "formats/quant/Parameters.h"

namespace kimic::runtime {

void ExpertLoader::drop(std::unique_ptr<Arriving> &arriving) {
  arriving->data.release(core_);
  std::unique_ptr<Arriving> next = std::move(arriving->next);
  arriving = std::move(next);
}

std::unique_ptr<ExpertLoader::Arriving> &ExpertLoader::find(std::uint32_t expert) {
  std::unique_ptr<Arriving> *at = &arriving_;
  while (*at && (*at)->expert != expert) {
    if (((*at)->isAbandoned && !(*at)->data.isWaiting()) || (*at)->data.isCancelled())
      drop(*at);
    else
      at = &(*at)->next;
  }
  return *at;
}

Status ExpertLoader::advance(std::uint32_t expert, Arriving &arriving, const std::span<std::uint8_t> *base) {
  const pack::LeafEntry &entry = session_.entry(expert);
  Status data = arriving.data.poll(core_, entry.data, base);
  if (data > 0)
    return data;
  KIMIC_STEP(linker_.fetch(entry.kernel));
  KIMIC_STEP(data);
  const Kernel &kernel = linker_.kernel(entry.kernel);
  KIMIC_STEP(core_.statusOf(pack::checkParameters(expert, entry, kernel.signature, kernel.layout)));
  KIMIC_STEP(core_.statusOf(quant::validateParameters(kernel.signature, kernel.layout, arriving.data.bytes())));
  Expert &record = *session_.expert(expert);
  record.kernel = &kernel;
  prefetched_ += !arriving.isDemanded;
  core_.cache.insert(record, arriving.data.take(), arriving.isDemanded ? KIMIC_DEMANDED : KIMIC_PREFETCH);
  return KIMIC_OK;
}

Status ExpertLoader::fetchBase(std::uint32_t expert, Expert *&base) {
  const pack::LeafEntry &entry = session_.entry(expert);
  if (entry.base == pack::kNoExpert)
    return KIMIC_OK;
  KIMIC_STEP(session_.fetchEntry(entry.base));
  KIMIC_STEP(core_.statusOf(pack::checkBase(expert, entry, session_.entry(entry.base))));
  Expert *record = session_.expert(entry.base);
  if (!record->isResident())
    KIMIC_STEP(fetch(entry.base)); // which has no base itself
  core_.cache.touch(*record);
  base = record;
  return KIMIC_OK;
}

Status ExpertLoader::fetch(std::uint32_t expert) {
  Expert *base = nullptr;
  Status based = fetchBase(expert, base);
  std::unique_ptr<Arriving> &arriving = find(expert);
  if (based > 0) {
    if (arriving)
      arriving->isAbandoned = true;
    return based;
  }
  if (!arriving) {
    KIMIC_STEP(core_.ensureRoom(sizeof(Arriving)));
    arriving.reset(new Arriving);
    arriving->expert = expert;
  }
  const bool isDemanded = core_.priority == KIMIC_DEMANDED;
  misses_ += isDemanded && !arriving->isDemanded;
  arriving->isDemanded |= isDemanded;
  if (base)
    ++base->pins; // memory for the expert must not be that of its base
  Status status = advance(expert, *arriving, base ? &base->parameters : nullptr);
  if (base)
    --base->pins;
  arriving->isAbandoned = status > 0;
  if (status == KIMIC_OK || (status > 0 && !arriving->data.isWaiting()))
    drop(arriving);
  return status;
}

void ExpertLoader::cancel(std::uint32_t expert) {
  std::unique_ptr<Arriving> &arriving = find(expert);
  if (!arriving)
    return;
  arriving->isAbandoned = true;
  arriving->data.withdraw(core_);
  if (!arriving->data.isWaiting())
    drop(arriving);
}

Status ExpertLoader::load(std::uint32_t expert) {
  if (expert >= session_.header().experts)
    return core_.fail(ErrorId::UnknownExpert, expert, session_.header().experts);
  KIMIC_STEP(session_.fetchEntry(expert));
  Expert &record = *session_.expert(expert);
  if (!record.isResident())
    return fetch(expert);
  if (core_.priority == KIMIC_DEMANDED) {
    prefetchedUsed_ += record.list == KIMIC_PREFETCH;
    core_.cache.touch(record);
    ++hits_;
  }
  return KIMIC_OK;
}

} // namespace kimic::runtime
