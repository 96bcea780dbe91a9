// The C API over the parts of the runtime. Compiled to WebAssembly these functions are the exports; natively they are
// the library's interface.
#include "runtime/include/kimic/Runtime.h"

#include "formats/base/Error.h"
#include "formats/pack/PackReader.h"
#include "runtime/core/Memory.h"
#include "runtime/exec/Engine.h"
#include "runtime/include/kimic/Cache.h"
#include "runtime/load/ExpertLoader.h"
#include "runtime/plan/Planner.h"
#include "runtime/recover/Recovery.h"

#include <cstring>
#include <memory>
#include <new>

#ifdef __EMSCRIPTEN__
#define KIMIC_EXPORT extern "C" __attribute__((used, visibility("default")))
#else
#define KIMIC_EXPORT extern "C"
#endif

using namespace kimic;
using namespace kimic::runtime;

struct KimicRuntime : Core {
  KimicRuntime(Arena &arena, const KimicOptions &options)
      : Core(arena), linker(*this, session, options.variants), loader(*this, session, linker),
        engine(*this, session, linker, options.residentBonus), session(*this) {}

  /// Routes with at most `count` choices, or as many as the pack says. PackNotOpen, PackHasNoRouter, TooManyChoices and
  /// the errors of Engine::route().
  Status route(const float *x, std::uint32_t count, KimicChoice *choices, std::uint32_t *chosen, Details details);

  /// PackNotOpen if it is not.
  Status requireOpen() { return session.isOpen() ? KIMIC_OK : fail(ErrorId::PackNotOpen); }

  /// Makes the expert alone resident, and runnable.
  Status load(std::uint32_t expert);
  /// kimic_load() with the core's priority.
  Status loadAll(std::uint32_t expert);

  /// What runs from here on is one request to the policy of the cache.
  void beginRequest() {
    if (cache.policy())
      parts.begin(*cache.policy());
  }

  /// The pack has a router that can choose `count` experts; 0 becomes its top-k.
  Status requireRouter(std::uint32_t &count);

  /// Loads what the expert needs and keeps what is resident of it until release(). KIMIC_OK if all is.
  Status keep(std::uint32_t expert);
  void release();

  /// Runs as many steps as can be, up to the first group that is not complete.
  Status runSteps(std::span<KimicStep> steps, const float *x, float *values);

  /// Makes room for a history, and has what works on it. PackNotOpen, ArenaExhausted, the errors of needParts().
  Status needHistory();

  /// Runs the chosen experts of every row.
  Status runRows(std::span<const KimicChoice> choices, std::uint32_t rows, std::uint32_t merge, const float *x,
                 float *y, std::uint32_t outputs);

  // The large ones last: what lies near the beginning is reached with shorter instructions.
  KernelLinker linker;
  ExpertLoader loader;
  Engine engine;
  Expert *asked = nullptr; ///< what keep() has kept, a list
  KimicRecovery recovery{};
  PackSession session;
  CircuitBreakers breakers;
  std::unique_ptr<History> history; ///< null until it is needed
};

Status KimicRuntime::load(std::uint32_t expert) {
  KIMIC_STEP(requireOpen());
  Status loaded = loader.load(expert);
  if (loaded > 0 && loaded != static_cast<Status>(ErrorId::ArenaExhausted) && history)
    parts.observeRun(*history, expert, false, 0, 0);
  KIMIC_STEP(loaded);
  // The buffers must not cost the expert for which they are made.
  Expert &record = *session.expert(expert);
  ++record.pins;
  Status reserved = engine.reserve(record);
  --record.pins;
  return reserved;
}

Status KimicRuntime::requireRouter(std::uint32_t &count) {
  KIMIC_STEP(requireOpen());
  if (cache.policy())
    cache.policy()->forget(); // what did not run was no request
  const std::optional<pack::Router> &router = session.root().router;
  if (!router)
    return fail(ErrorId::PackHasNoRouter);
  if (count == 0)
    count = router->topK;
  return count <= router->routed ? KIMIC_OK : fail(ErrorId::TooManyChoices, count, router->routed);
}

Status KimicRuntime::keep(std::uint32_t expert) {
  Status outcome = KIMIC_OK;
  for (std::uint32_t needed, i = 0; session.needed(expert, i, needed); ++i) {
    Status status = load(needed);
    if (status > 0)
      return status;
    if (status == KIMIC_PENDING) {
      outcome = KIMIC_PENDING;
    } else if (Expert &record = *session.expert(needed); !record.isAsked) {
      record.isAsked = true;
      ++record.pins;
      record.nextAsked = asked;
      asked = &record;
    }
  }
  return outcome;
}

void KimicRuntime::release() {
  for (; asked; asked = asked->nextAsked) {
    asked->isAsked = false;
    --asked->pins;
  }
}

Status KimicRuntime::loadAll(std::uint32_t expert) {
  Status status = keep(expert);
  release();
  return status;
}

Status KimicRuntime::runSteps(std::span<KimicStep> steps, const float *x, float *values) {
  Status outcome = KIMIC_OK;
  bool isFurther;
  do {
    isFurther = false;
    outcome = KIMIC_OK;
    std::uint32_t group = KIMIC_MOST_STEPS; // the first that is not complete
    for (KimicStep &step : steps) {
      if (step.isDone)
        continue;
      if (group == KIMIC_MOST_STEPS)
        group = step.group;
      if (step.group != group)
        break;
      Status status = load(step.expert);
      if (status == KIMIC_OK) {
        engine.use(steps, values);
        const float *outputs = engine.outputsOf(step.expert, x);
        if (!outputs)
          return failure();
        std::memcpy(values + step.first, outputs, step.outputs * sizeof(float));
        step.isDone = 1;
        isFurther = true;
      } else if (status == KIMIC_PENDING || outcome == KIMIC_OK) {
        outcome = status;
      }
      // Others of the group may have taken the memory that they do not need any more.
      if (status > 0 && lastError.id != ErrorId::ArenaExhausted)
        return status;
    }
  } while (isFurther);
  return outcome;
}

Status KimicRuntime::runRows(std::span<const KimicChoice> choices, std::uint32_t rows, std::uint32_t merge,
                             const float *x, float *y, std::uint32_t outputs) {
  std::uint32_t inputs = session.expert(session.header().listed())->kernel->signature.inputs;
  std::size_t count = choices.size() / rows;
  for (std::uint32_t row = 0; row < rows; ++row) {
    std::span<const KimicChoice> chosen = choices.subspan(row * count, count);
    while (chosen.back().expert == KIMIC_NO_EXPERT)
      chosen = chosen.first(chosen.size() - 1);
    KIMIC_STEP(engine.runChosen(chosen, merge, x + std::size_t{row} * inputs, y + std::size_t{row} * outputs, inputs,
                                outputs));
  }
  return KIMIC_OK;
}

KIMIC_EXPORT std::uint32_t kimic_abi_version(void) { return KIMIC_ABI_VERSION; }

KIMIC_EXPORT KimicRuntime *kimic_create(const KimicOptions *options) {
  if (options->arenaBytes < KIMIC_MINIMUM_ARENA || options->arenaBytes > KIMIC_MAXIMUM_ARENA ||
      !(options->residentBonus >= 0 && options->residentBonus <= 1))
    return nullptr;
  Arena *arena = acquireArena(static_cast<std::size_t>(options->arenaBytes));
  if (!arena)
    return nullptr;
  void *memory = arena->allocate(sizeof(KimicRuntime));
  if (!memory) {
    releaseArena(arena);
    return nullptr;
  }
  return new (memory) KimicRuntime(*arena, *options);
}

KIMIC_EXPORT void kimic_destroy(KimicRuntime *runtime) {
  Arena &arena = runtime->arena;
#ifndef __EMSCRIPTEN__
  runtime->~KimicRuntime(); // in WebAssembly all it owns lies in the arena
#endif
  releaseArena(&arena);
}

KIMIC_EXPORT void kimic_require_digest(KimicRuntime *runtime, const std::uint8_t *digest) {
  Digest required;
  std::memcpy(required.data(), digest, required.size());
  runtime->session.requireDigest(required);
}

KIMIC_EXPORT std::int32_t kimic_open(KimicRuntime *runtime) { return runtime->session.open(); }

KIMIC_EXPORT std::int32_t kimic_next_request(KimicRuntime *runtime, std::uint32_t lowest, KimicRequest *request) {
  return runtime->requests.next(lowest ? KIMIC_PREFETCH : KIMIC_DEMANDED, *request) ? 1 : 0;
}

KIMIC_EXPORT std::int32_t kimic_complete(KimicRuntime *runtime, std::uint32_t request, std::int32_t error,
                                         std::uintptr_t value) {
  bool isKnown = runtime->requests.complete(request, static_cast<ErrorId>(error), value);
  runtime->loader.sweep();
  return isKnown ? KIMIC_OK : runtime->fail(ErrorId::UnknownRequest, request);
}

KIMIC_EXPORT std::int32_t kimic_pack_info(KimicRuntime *runtime, KimicPackInfo *info) {
  KIMIC_STEP(runtime->requireOpen());
  const pack::Header &header = runtime->session.header();
  const pack::Root &root = runtime->session.root();
  *info = KimicPackInfo{};
  info->packBytes = header.fileBytes();
  info->hotBytes = pack::hotRange(header, root).end();
  info->experts = header.experts;
  info->kernels = header.kernels;
  info->routerExpert = info->fallbackExpert = KIMIC_NO_EXPERT;
  info->metadataBytes = root.meta.rawLength;
  std::memcpy(info->digest, runtime->session.digest().data(), KIMIC_DIGEST_BYTES);
  if (root.router) {
    info->routerExpert = header.listed();
    info->routedExperts = root.router->routed;
    info->topK = root.router->topK;
    info->merge = static_cast<std::uint32_t>(root.router->merge);
    info->temperature = root.router->temperature;
    info->head = static_cast<std::uint32_t>(root.router->head);
    info->strategy = static_cast<std::uint32_t>(root.router->strategy);
    info->minVotes = root.router->minVotes;
    info->fallbackExpert = root.router->fallback;
  }
  return KIMIC_OK;
}

KIMIC_EXPORT std::int32_t kimic_metadata(KimicRuntime *runtime, KimicBytes *json) {
  KIMIC_STEP(runtime->requireOpen());
  KIMIC_STEP(runtime->session.fetchMetadata());
  std::span<const std::uint8_t> bytes = runtime->session.metadata();
  *json = {reinterpret_cast<std::uintptr_t>(bytes.data()), bytes.size()};
  return KIMIC_OK;
}

KIMIC_EXPORT void kimic_release_metadata(KimicRuntime *runtime) { runtime->session.releaseMetadata(); }

KIMIC_EXPORT std::int32_t kimic_load(KimicRuntime *runtime, std::uint32_t expert) { return runtime->loadAll(expert); }

KIMIC_EXPORT std::int32_t kimic_prefetch(KimicRuntime *runtime, std::uint32_t expert) {
  runtime->priority = KIMIC_PREFETCH;
  Status status = runtime->loadAll(expert);
  runtime->priority = KIMIC_DEMANDED;
  return status;
}

KIMIC_EXPORT std::uint32_t kimic_next_experts(KimicRuntime *runtime, std::uint32_t expert, std::uint32_t *experts,
                                              std::uint32_t room) {
  std::uint32_t count = 0;
  if (runtime->session.isOpen())
    for (const pack::Transition &next : runtime->session.nextOf(expert))
      if (count < room)
        experts[count++] = next.expert;
  if (const ReplacementPolicy *policy = runtime->cache.policy(); policy && policy->hasAverages())
    count += runtime->parts.likely(*policy, experts + count, std::min(room - count, KIMIC_LIKELY_EXPERTS));
  return count;
}

KIMIC_EXPORT void kimic_cancel(KimicRuntime *runtime, std::uint32_t expert) {
  for (std::uint32_t needed, i = 0; runtime->session.needed(expert, i, needed); ++i)
    runtime->loader.cancel(needed);
}

KIMIC_EXPORT std::int32_t kimic_expert_info(KimicRuntime *runtime, std::uint32_t expert, KimicExpertInfo *info) {
  Expert *record = runtime->engine.resident(expert);
  if (!record)
    return runtime->failure();
  const pack::LeafEntry &entry = record->entry;
  const Kernel &kernel = *record->kernel;
  *info = KimicExpertInfo{};
  info->inputs = runtime->session.rowOf(expert, kernel.signature.inputs);
  info->outputs = kernel.outputs;
  info->parameterBytes = static_cast<std::uint32_t>(record->parameters.size());
  info->kernel = entry.kernel;
  info->variant = runtime->linker.variantOf(kernel);
  info->domain = static_cast<std::uint32_t>(entry.domain);
  info->confidenceThreshold = entry.confidenceThreshold;
  return KIMIC_OK;
}

// Adds to the pins of the expert and of all that it needs.
static Status pin(KimicRuntime *runtime, std::uint32_t expert, std::int32_t pins) {
  std::uint32_t needed, i;
  const Expert *last = nullptr; // the expert itself
  for (i = 0; runtime->session.needed(expert, i, needed); ++i)
    if (last = runtime->engine.resident(needed); !last)
      return runtime->failure();
  if (pins < 0 && !last->pins)
    return KIMIC_OK; // what it reads may be pinned for others
  for (i = 0; runtime->session.needed(expert, i, needed); ++i)
    if (Expert &record = *runtime->session.expert(needed); pins > 0 || record.pins)
      record.pins += static_cast<std::uint32_t>(pins);
  return KIMIC_OK;
}

KIMIC_EXPORT std::int32_t kimic_pin(KimicRuntime *runtime, std::uint32_t expert) { return pin(runtime, expert, 1); }

KIMIC_EXPORT std::int32_t kimic_unpin(KimicRuntime *runtime, std::uint32_t expert) { return pin(runtime, expert, -1); }

KIMIC_EXPORT std::int32_t kimic_evict(KimicRuntime *runtime, std::uint32_t expert) {
  Expert *record = runtime->engine.resident(expert);
  if (!record)
    return runtime->lastError.id == ErrorId::ExpertNotResident ? KIMIC_OK : runtime->failure();
  if (record->pins)
    return runtime->fail(ErrorId::ExpertPinned, expert, record->pins);
  runtime->cache.evict(*record);
  return KIMIC_OK;
}

KIMIC_EXPORT void *kimic_allocate(KimicRuntime *runtime, std::size_t bytes) {
  void *memory = runtime->allocate(bytes);
  if (memory)
    Arena::tag(memory, KIMIC_MEMORY_HOST);
  return memory;
}

KIMIC_EXPORT void kimic_free(KimicRuntime *runtime, void *address) { runtime->cache.free(address); }

KIMIC_EXPORT std::int32_t kimic_run(KimicRuntime *runtime, std::uint32_t expert, const float *x, std::uint32_t rows,
                                    float *y) {
  runtime->beginRequest();
  return runtime->engine.run(expert, x, rows, y);
}

Status KimicRuntime::route(const float *x, std::uint32_t count, KimicChoice *choices, std::uint32_t *chosen,
                           Details details) {
  KIMIC_STEP(requireRouter(count));
  return engine.route(x, {choices, count}, *chosen, details);
}

KIMIC_EXPORT std::int32_t kimic_route(KimicRuntime *runtime, const float *x, std::uint32_t count, KimicChoice *choices,
                                      std::uint32_t *chosen, float *scores) {
  return runtime->route(x, count, choices, chosen, {true, scores, nullptr});
}

KIMIC_EXPORT std::int32_t kimic_explain(KimicRuntime *runtime, const float *x, std::uint32_t count,
                                        KimicChoice *choices, std::uint32_t *chosen, KimicExplanation *explanations) {
  return runtime->route(x, count, choices, chosen, {true, nullptr, explanations});
}

KIMIC_EXPORT std::int32_t kimic_run_chosen(KimicRuntime *runtime, const KimicChoice *choices, std::uint32_t count,
                                           std::uint32_t merge, const float *x, float *y) {
  runtime->beginRequest();
  return runtime->engine.runChosen({choices, count}, merge, x, y);
}

KIMIC_EXPORT std::int32_t kimic_ask(KimicRuntime *runtime, const float *x, std::uint32_t rows, std::uint32_t count,
                                    std::uint32_t merge, KimicChoice *choices, float *scores, float *y,
                                    std::uint32_t outputs) {
  KIMIC_STEP(runtime->requireRouter(count));
  if (rows == 0)
    return runtime->fail(ErrorId::NothingToRun);
  const pack::Router &router = *runtime->session.root().router;
  std::uint32_t expert = runtime->session.header().listed(), chosen;
  KIMIC_STEP(runtime->load(expert));
  std::uint32_t inputs = runtime->session.expert(expert)->kernel->signature.inputs;
  std::span<KimicChoice> all(choices, std::size_t{rows} * count);
  for (std::size_t row = 0; row < rows; ++row) {
    KIMIC_STEP(runtime->engine.route(
        x + row * inputs, all.subspan(row * count, count), chosen,
        {scores || merge == KIMIC_MERGE_BEST, scores ? scores + row * router.routed : nullptr, nullptr}));
    if (chosen == 0)
      return runtime->fail(ErrorId::RouterAbstained);
    for (; chosen < count; ++chosen)
      all[row * count + chosen].expert = KIMIC_NO_EXPERT;
  }
  Status status = KIMIC_OK;
  for (const KimicChoice &choice : all) {
    if (choice.expert == KIMIC_NO_EXPERT)
      continue;
    Status kept = runtime->keep(choice.expert);
    if (kept != KIMIC_OK)
      status = kept;
    if (kept > 0)
      break;
  }
  if (status == KIMIC_OK) {
    runtime->beginRequest();
    status = runtime->runRows(all, rows, merge, x, y, outputs);
  }
  runtime->release();
  return status;
}

KIMIC_EXPORT std::int32_t kimic_plan(KimicRuntime *runtime, const KimicChoice *choices, std::uint32_t count,
                                     KimicPlan *plan, KimicStep *steps) {
  KIMIC_STEP(runtime->requireOpen());
  return Planner(*runtime, runtime->session, runtime->linker, runtime->history.get())
      .plan({choices, count}, *plan, steps);
}

KIMIC_EXPORT std::int32_t kimic_run_plan(KimicRuntime *runtime, KimicStep *steps, std::uint32_t stepCount,
                                         const KimicChoice *choices, std::uint32_t count, std::uint32_t merge,
                                         const float *x, float *values, float *y) {
  runtime->beginRequest();
  Status status = runtime->runSteps({steps, stepCount}, x, values);
  if (status == KIMIC_OK) {
    runtime->engine.use({steps, stepCount}, values);
    status = runtime->engine.runChosen({choices, count}, merge, x, y);
  }
  runtime->engine.use({}, nullptr);
  return status;
}

Status KimicRuntime::needHistory() {
  KIMIC_STEP(requireOpen());
  KIMIC_STEP(needParts());
  if (!history) {
    KIMIC_STEP(ensureRoom(sizeof(History)));
    history.reset(new History);
  }
  return KIMIC_OK;
}

KIMIC_EXPORT std::int32_t kimic_set_cache(KimicRuntime *runtime, std::uint32_t policy, std::uint32_t hasAverages) {
  KIMIC_STEP(runtime->requireOpen());
  if (policy > KIMIC_CACHE_ADAPTIVE)
    return runtime->fail(ErrorId::OptionMalformed);
  KIMIC_STEP(runtime->needParts());
  runtime->cache.free(runtime->cache.policy());
  runtime->cache.follow(nullptr);
  if (policy == KIMIC_CACHE_LRU && !hasAverages)
    return KIMIC_OK;
  const std::uint32_t experts = runtime->session.header().experts;
  const std::optional<pack::Router> &router = runtime->session.root().router;
  auto *made = reinterpret_cast<ReplacementPolicy *>(runtime->allocate(sizeof(ReplacementPolicy) +
                                                                       experts * sizeof(ReplacementPolicy::Standing) +
                                                                       (router ? router->routed * sizeof(float) : 0)));
  if (!made)
    return runtime->failure();
  runtime->parts.makePolicy(made, static_cast<KimicCachePolicy>(policy), hasAverages != 0, experts,
                            static_cast<std::uint32_t>(runtime->arena.cap()));
  runtime->cache.follow(made);
  return KIMIC_OK;
}

KIMIC_EXPORT std::int32_t kimic_set_clock(KimicRuntime *runtime, KimicClock clock) {
  KIMIC_STEP(runtime->needHistory());
  runtime->engine.time(clock, runtime->history.get());
  return KIMIC_OK;
}

KIMIC_EXPORT std::int32_t kimic_experience(KimicRuntime *runtime, std::uint32_t expert, KimicExperience *experience) {
  KIMIC_STEP(runtime->needHistory());
  runtime->parts.experienceOf(*runtime->history, expert, *experience);
  return KIMIC_OK;
}

KIMIC_EXPORT std::int32_t kimic_export_history(KimicRuntime *runtime, std::uint8_t *bytes, std::uint32_t room,
                                               std::uint32_t *length) {
  KIMIC_STEP(runtime->needHistory());
  *length = static_cast<std::uint32_t>(runtime->history->exportBytes());
  if (*length <= room) {
    const std::size_t end = *length - sizeof(Digest);
    runtime->parts.exportHistory(*runtime->history, bytes, runtime->session.digest());
    const Digest digest = sha256({bytes, end});
    std::memcpy(bytes + end, digest.data(), sizeof digest);
  }
  return KIMIC_OK;
}

KIMIC_EXPORT std::int32_t kimic_import_history(KimicRuntime *runtime, const std::uint8_t *bytes, std::uint32_t length) {
  KIMIC_STEP(runtime->needHistory());
  const PackSession &session = runtime->session;
  Digest digest{};
  if (length >= sizeof digest)
    digest = sha256({bytes, length - sizeof digest});
  Error error;
  runtime->parts.importHistory(*runtime->history, {bytes, length}, digest, session.digest(), session.header().experts,
                               error);
  return error.id == ErrorId::None ? KIMIC_OK : runtime->fail(error);
}

KIMIC_EXPORT std::int32_t kimic_set_recovery(KimicRuntime *runtime, const KimicRecovery *recovery) {
  if (!(recovery->jitter >= 0 && recovery->jitter <= 1 && recovery->firstDelay >= 0 && recovery->longestDelay >= 0 &&
        recovery->openFor >= 0))
    return runtime->fail(ErrorId::OptionMalformed);
  runtime->recovery = *recovery;
  return KIMIC_OK;
}

KIMIC_EXPORT std::int32_t kimic_admit(KimicRuntime *runtime, std::uint32_t expert, double now) {
  CircuitBreaker &breaker = runtime->breakers[expert];
  return breaker.admits(now) ? KIMIC_OK : runtime->fail(breaker.refusal(expert, now));
}

KIMIC_EXPORT std::uint32_t kimic_remedy(KimicRuntime *runtime, std::uint32_t expert, std::uint32_t kind,
                                        std::uint32_t attempt, std::uint32_t hasCleanedUp, double now, double chance,
                                        double *delay) {
  const auto errorKind = static_cast<ErrorKind>(kind);
  runtime->breakers[expert].settle(errorKind, now, runtime->recovery);
  Remedy remedy = remedyFor(errorKind, attempt, hasCleanedUp, runtime->recovery);
  *delay = delayAfter(attempt, chance, runtime->recovery);
  return static_cast<std::uint32_t>(remedy);
}

KIMIC_EXPORT void kimic_clean_up(KimicRuntime *runtime) {
  runtime->session.releaseMetadata();
  runtime->cache.evictAll();
}

KIMIC_EXPORT void kimic_memory(KimicRuntime *runtime, KimicMemory *memory) {
  *memory = KimicMemory{};
  runtime->arena.survey(*memory);
  runtime->cache.survey(*memory);
}

KIMIC_EXPORT void kimic_stats(KimicRuntime *runtime, KimicStats *stats) {
  *stats = runtime->stats;
  stats->arenaCap = runtime->arena.cap();
  stats->arenaUsed = runtime->arena.used();
  stats->arenaPeak = runtime->arena.peak();
}

KIMIC_EXPORT void kimic_last_error(KimicRuntime *runtime, KimicErrorInfo *error) {
  *error = KimicErrorInfo{};
  error->id = static_cast<std::uint32_t>(runtime->lastError.id);
  for (unsigned i = 0; i < 3; ++i)
    error->args[i] = runtime->lastError.args[i];
}
