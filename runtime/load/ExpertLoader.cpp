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

Status ExpertLoader::advance(std::uint32_t expert, Arriving &arriving) {
  KIMIC_STEP(session_.fetchEntry(expert));
  const pack::LeafEntry &entry = session_.entry(expert);
  Status data = arriving.data.poll(core_, entry.data);
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
  bool isDemanded = core_.priority == KIMIC_DEMANDED;
  if (Expert *record = session_.expert(expert); record && record->isResident()) {
    if (isDemanded) {
      prefetchedUsed_ += record->list == KIMIC_PREFETCH;
      core_.cache.touch(*record);
      ++hits_;
    }
    return KIMIC_OK;
  }
  std::unique_ptr<Arriving> &arriving = find(expert);
  if (!arriving) {
    KIMIC_STEP(core_.ensureRoom(sizeof(Arriving)));
    arriving.reset(new Arriving);
    arriving->expert = expert;
  }
  misses_ += isDemanded && !arriving->isDemanded;
  arriving->isDemanded |= isDemanded;
  Status status = advance(expert, *arriving);
  arriving->isAbandoned = status > 0;
  if (status == KIMIC_OK || (status > 0 && !arriving->data.isWaiting()))
    drop(arriving);
  return status;
}

} // namespace kimic::runtime
