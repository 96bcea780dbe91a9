/* The C API of the runtime; compiled to WebAssembly, these functions are the module's exports.
 *
 * One runtime serves one pack from one memory arena with a hard cap. It does no I/O and never waits: what it needs from
 * outside it asks for in *requests* (read these bytes to this address, link this kernel module), which the host takes
 * with kimic_next_request(), carries out in any order and reports with kimic_complete().
 *
 * Functions that may need the outside (open, metadata, load) are asked again until they are done:
 *
 *     while ((status = kimic_load(runtime, expert)) == KIMIC_PENDING) {
 *       while (kimic_next_request(runtime, KIMIC_PREFETCH, &request)) start(request);
 *       wait for one of the started requests; kimic_complete(runtime, request.id, error, value);
 *     }
 *
 * Any number of loads may be under way; whatever two of them share is read once. An error is reported once and then
 * forgotten, so that the same call tries again. Requests say whether somebody waits for them or whether they only fetch
 * ahead (kimic_prefetch), so that a host can keep the second kind back and put near reads of the first into one.
 *
 * Every function returns KIMIC_OK, KIMIC_PENDING or the number (> 0) of an error of formats/base/Errors.def, whose
 * arguments kimic_last_error() tells, unless its comment says otherwise. Addresses are `uint64_t` in structs, so that
 * they have one layout in 32 and 64 bits. A runtime may be used by one thread at a time.
 */
#ifndef KIMIC_RUNTIME_H
#define KIMIC_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KIMIC_ABI_VERSION 3u

#define KIMIC_OK 0
#define KIMIC_PENDING (-1)

typedef struct KimicRuntime KimicRuntime;

/* What runs an expert. Every one computes the same bits. */
enum KimicVariant {
  KIMIC_VARIANT_GENERIC = 0, /* no kernel: the evaluator of all experts */
  KIMIC_VARIANT_SCALAR = 1,  /* this and the following as in abi::Variant */
  KIMIC_VARIANT_SIMD128 = 2,
  KIMIC_VARIANT_RELAXED = 3,
  KIMIC_VARIANT_NATIVE = 4, /* not in packs and not in WebAssembly: functions that the host makes for its processor */
};

typedef struct KimicOptions {
  uint64_t arenaBytes; /* hard cap of the memory that the runtime uses: KIMIC_MINIMUM_ARENA .. KIMIC_MAXIMUM_ARENA */
  uint32_t variants;   /* bit v-1: the host can link kernels of KimicVariant v. Of those that the pack has, the highest
                          is linked; 0: every expert runs generically and no module is read. With the bit of
                          KIMIC_VARIANT_NATIVE no module is read either, but the host is asked for a function for each
                          kernel when it is first needed */
  float residentBonus; /* 0..1: added to the scores of resident experts when the second and further ones are chosen, so
                          that fewer have to be loaded; 0: residence plays no role */
} KimicOptions;

#define KIMIC_MINIMUM_ARENA 131072u
#define KIMIC_MAXIMUM_ARENA 4294901760u /* 4 GiB - 64 KiB */

enum KimicRequestKind {
  KIMIC_REQUEST_READ = 1, /* put bytes [offset, offset + length) of the pack at `address` */
  /* Compile the module of `length` bytes at `address` and put its kernels into the table. With KIMIC_VARIANT_NATIVE the
     bytes are the signature of one kernel. With KIMIC_VARIANT_GENERIC, in WebAssembly only, there are none: put the
     functions of kimic_parts.wasm into the table, whose imports are the runtime's memory and __stack_pointer. */
  KIMIC_REQUEST_LINK = 2,
};

enum KimicPriority {
  KIMIC_DEMANDED = 0, /* somebody waits for it */
  KIMIC_PREFETCH = 1, /* it may be wanted soon */
};

typedef struct KimicRequest {
  uint32_t id;
  uint32_t kind;        /* KimicRequestKind */
  uint64_t offset;      /* read: first byte in the pack */
  uint64_t address;     /* read: where the bytes go; link: where the module is. Valid until the request is completed */
  uint32_t length;      /* read, link: bytes */
  uint32_t firstKernel; /* link: pack-wide id of the module's k0 */
  uint32_t kernelCount; /* link: the module exports k0 .. k<kernelCount-1> */
  uint32_t variant;     /* link: KimicVariant */
  uint32_t priority;    /* KimicPriority */
  uint32_t reserved;    /* 0 */
} KimicRequest;

typedef struct KimicErrorInfo {
  uint32_t id;       /* number in Errors.def, 0: no error yet */
  uint32_t reserved; /* 0 */
  uint64_t args[3];  /* {0} {1} {2} of the message */
} KimicErrorInfo;

#define KIMIC_NO_EXPERT 0xFFFFFFFFu
#define KIMIC_DIGEST_BYTES 32u

typedef struct KimicPackInfo {
  uint64_t packBytes; /* length that the header states */
  uint32_t experts;   /* ids are 0 .. experts-1 */
  uint32_t kernels;
  uint32_t routerExpert;              /* id of the router's own network, or KIMIC_NO_EXPERT */
  uint32_t routedExperts;             /* the router chooses among ids 0 .. routedExperts-1 */
  uint32_t topK;                      /* most experts that the pack's router chooses */
  uint32_t merge;                     /* KimicMerge of the pack */
  float temperature;                  /* divides the router's logits */
  uint32_t metadataBytes;             /* 0: the pack has no metadata */
  uint8_t digest[KIMIC_DIGEST_BYTES]; /* SHA-256 of the pack's header, which vouches for all the rest */
  uint32_t head;                      /* KimicHead of the router */
  uint32_t strategy;                  /* KimicStrategy of the router */
  uint32_t minVotes;                  /* experts that have to agree with KIMIC_MERGE_VOTE */
  uint32_t fallbackExpert;            /* chosen when the router abstains, or KIMIC_NO_EXPERT */
  uint64_t hotBytes; /* the pack's first bytes, up to the end of what the first answer needs but for its expert */
} KimicPackInfo;

typedef struct KimicExpertInfo {
  uint32_t inputs; /* numbers per row: of a request, if the expert reads other experts or parts of it */
  uint32_t outputs;
  uint32_t parameterBytes;
  uint32_t kernel;  /* pack-wide kernel id */
  uint32_t variant; /* KimicVariant that runs it */
  uint32_t domain;  /* number of the expert's domain */
  float confidenceThreshold;
  uint32_t reserved; /* 0 */
} KimicExpertInfo;

/* One expert that the router chose. */
typedef struct KimicChoice {
  uint32_t expert;
  float score;  /* what the router gives it, 0..1 */
  float weight; /* its part in a weighted answer: score / sum of the chosen scores, unless the pack says otherwise */
} KimicChoice;

enum KimicHead {
  KIMIC_HEAD_SOFTMAX = 0,      /* scores = softmax(logits / temperature) */
  KIMIC_HEAD_SIGMOID = 1,      /* scores = 1 / (1 + exp(-logit / temperature)) */
  KIMIC_HEAD_PRODUCT_KEYS = 2, /* softmax over the sums of a row's and a column's logit */
};

enum KimicStrategy {
  KIMIC_STRATEGY_TOP_1 = 0,     /* the best expert, if its score reaches its threshold */
  KIMIC_STRATEGY_TOP_K = 1,     /* the best ones, if the best one's score reaches its threshold */
  KIMIC_STRATEGY_THRESHOLD = 2, /* those of the best ones whose scores reach their thresholds */
};

/* Why an expert was chosen, or was not. */
enum KimicReason {
  KIMIC_CHOSEN = 0,
  KIMIC_OUTRANKED = 1,        /* as many as may be chosen come before it */
  KIMIC_BELOW_THRESHOLD = 2,  /* among the best, but its score is below its threshold */
  KIMIC_ROUTER_ABSTAINED = 3, /* among the best, but the best one's score is below its threshold */
};

/* What the router made of one expert. */
typedef struct KimicExplanation {
  float logit;     /* of the router's network */
  float score;     /* 0..1 */
  float selection; /* what decides on the order: score + bias + bonus for residence. Experts of equal selection are told
                      apart by their logits, if there is neither bias nor bonus, then by their ids */
  float threshold; /* that the score has to reach */
  uint32_t reason; /* KimicReason */
  uint32_t isResident; /* 1 if the expert is resident and residence counts */
} KimicExplanation;

enum KimicMerge {
  KIMIC_MERGE_AVERAGE = 0,  /* mean of the chosen experts' outputs */
  KIMIC_MERGE_WEIGHTED = 1, /* sum of weight * output */
  KIMIC_MERGE_BEST = 2,     /* the output of the expert with the highest score */
  KIMIC_MERGE_LEARNED = 3,  /* as WEIGHTED: kimic_route() fills the weights from the pack's column of them */
  KIMIC_MERGE_VOTE = 4,     /* fraction of the experts that vote for each output: each for its largest one, or, if there
                               is only one output, for it from 0.5 on. VoteUndecided if no class has the least number */
  KIMIC_MERGE_CASCADE = 5,  /* the output of the first expert whose confidence (its largest output, or the larger of y
                               and 1 - y of a single one) reaches its threshold; if none, of the most confident one.
                               Experts behind a sure one do not run and need not be resident */
};

typedef struct KimicBytes {
  uint64_t address;
  uint64_t length;
} KimicBytes;

typedef struct KimicStats {
  uint64_t arenaCap;      /* bytes */
  uint64_t arenaUsed;     /* bytes of live allocations, bookkeeping included */
  uint64_t arenaPeak;     /* most bytes that were ever in use */
  uint64_t residentBytes; /* parameters of the resident experts */
  uint32_t residentExperts;
  uint32_t linkedKernels;
  uint64_t hits;           /* loads that found the expert resident */
  uint64_t misses;         /* loads that had to read it */
  uint64_t evictions;      /* experts dropped to make room */
  uint32_t prefetched;     /* experts that became resident without a load */
  uint32_t prefetchedUsed; /* those of them that a load found resident later */
} KimicStats;

/* What memory is for. */
enum KimicMemoryUse {
  KIMIC_MEMORY_OTHER = 0,      /* the runtime's records, and blocks that were decoded and are not parameters in use: of
                                  the directory, signatures, modules, metadata */
  KIMIC_MEMORY_EXPERTS = 1,    /* parameters of resident experts */
  KIMIC_MEMORY_COMPRESSED = 2, /* blocks as they are in the pack, on their way */
  KIMIC_MEMORY_SCRATCH = 3,    /* what experts work in */
  KIMIC_MEMORY_HOST = 4,       /* kimic_allocate() */
  KIMIC_MEMORY_USES = 5,
};

/* Where memory is, in bytes. */
typedef struct KimicMemory {
  uint64_t linear;                   /* the region that was touched so far; in WebAssembly the whole linear memory */
  uint64_t cap;                      /* of what the runtime may use */
  uint64_t used;                     /* live allocations, with their headers and rounding */
  uint64_t peak;                     /* most that was ever in use */
  uint64_t byUse[KIMIC_MEMORY_USES]; /* `used`, by KimicMemoryUse */
  uint64_t largestFree;              /* the largest block that is to be had without an eviction, its header included */
  uint64_t pinnedBytes;              /* parameters of experts that are pinned */
  uint64_t allocations;              /* how often memory was taken so far */
  uint32_t residentExperts;
  uint32_t pinnedExperts;
} KimicMemory;

/* How to deal with loads that fail; kimic_set_recovery(). */
typedef struct KimicRecovery {
  double firstDelay;       /* ms before the second attempt */
  double longestDelay;     /* ms */
  double openFor;          /* ms that an expert is left alone before one attempt is allowed again */
  uint32_t attempts;       /* loads of one expert before another one is taken */
  uint32_t failuresToOpen; /* in a row, until an expert is left alone */
  uint32_t backoff;        /* KimicBackoff */
  float jitter;            /* 0..1: the part of a delay that is left to chance */
} KimicRecovery;

enum KimicBackoff {
  KIMIC_BACKOFF_FIXED = 0,       /* all delays are the first */
  KIMIC_BACKOFF_EXPONENTIAL = 1, /* each delay is twice the one before */
};

enum KimicRemedy {
  KIMIC_REMEDY_RETRY = 0,    /* the same again, after a delay */
  KIMIC_REMEDY_EVICT = 1,    /* the same again, after kimic_clean_up() */
  KIMIC_REMEDY_FALLBACK = 2, /* another expert */
  KIMIC_REMEDY_FAIL = 3,     /* nothing helps */
};

#ifdef __cplusplus
static_assert(sizeof(KimicMemory) == 104 && sizeof(KimicOptions) == 16 && sizeof(KimicRequest) == 48 &&
              sizeof(KimicErrorInfo) == 32);
static_assert(sizeof(KimicPackInfo) == 96 && sizeof(KimicExpertInfo) == 32 && sizeof(KimicChoice) == 12);
static_assert(sizeof(KimicBytes) == 16 && sizeof(KimicStats) == 72 && sizeof(KimicExplanation) == 24 &&
              sizeof(KimicRecovery) == 40);
#endif

/* KIMIC_ABI_VERSION of this library. */
uint32_t kimic_abi_version(void);

/* A runtime that has no pack open yet; NULL if the options are out of range or the memory is not to be had. As
 * WebAssembly an instance has one linear memory and so at most one runtime at a time. */
KimicRuntime *kimic_create(const KimicOptions *options);

/* Frees everything. Requests under way must not write any more, and must not be completed. */
void kimic_destroy(KimicRuntime *runtime);

/* Makes kimic_open() refuse every pack but the one with this digest (PackDigest), before anything of it is used. */
void kimic_require_digest(KimicRuntime *runtime, const uint8_t digest[KIMIC_DIGEST_BYTES]);

/* Opens the pack: reads and verifies header and root directory. */
int32_t kimic_open(KimicRuntime *runtime);

/* Takes the next request that the host has not seen: those that somebody waits for first, in the order of asking, then,
 * if `lowest` is KIMIC_PREFETCH, the others. What is not taken may still gain priority. Returns 1, or 0 if there is
 * none. */
int32_t kimic_next_request(KimicRuntime *runtime, uint32_t lowest, KimicRequest *request);

/* Reports the outcome of a request. `error` is 0, or the number of the error that stopped the host (host errors are in
 * Errors.def too; its message gets `value`, offset and length as arguments). A link request that fails with
 * LinkDeclined makes the group's experts run generically; any other error fails the loads that need it.
 * `value` of a read: the bytes delivered; fewer than asked is right only for the first read, of a pack that is shorter.
 * `value` of a link: as WebAssembly, the table index of the module's first kernel, the others following it; natively,
 * the address of an array of function pointers (abi::KernelFunction).
 * UnknownRequest if the id was never issued or is complete. */
int32_t kimic_complete(KimicRuntime *runtime, uint32_t request, int32_t error, uintptr_t value);

/* Facts of the open pack. PackNotOpen. */
int32_t kimic_pack_info(KimicRuntime *runtime, KimicPackInfo *info);

/* Loads the pack's metadata (JSON, UTF-8; empty if there is none). It stays in memory, charged to the arena, until
 * kimic_release_metadata(). */
int32_t kimic_metadata(KimicRuntime *runtime, KimicBytes *json);
void kimic_release_metadata(KimicRuntime *runtime);

/* Makes the expert resident, with its kernel and all experts that it reads, and counts as their use. Experts that were
 * used longest ago and are not pinned make room. UnknownExpert; ArenaExhausted if even that is not enough; the errors
 * of reading the pack. */
int32_t kimic_load(KimicRuntime *runtime, uint32_t expert);

/* Like kimic_load(), but nobody waits: the requests have the priority KIMIC_PREFETCH, and memory is taken only if it is
 * free or holds experts that were prefetched earlier and never used (else ArenaExhausted, which harms nothing). Being
 * prefetched is not a use: such experts are the first to make room. */
int32_t kimic_prefetch(KimicRuntime *runtime, uint32_t expert);

/* The experts to which requests most often went on from this one, according to the pack: likeliest first, at most
 * `room`. Returns how many it wrote; none before its leaf was read, as by kimic_load(). If averages of scores are kept
 * (kimic_set_cache), those behind them, up to KIMIC_LIKELY_EXPERTS, are experts that are not resident and have the
 * highest ones, whatever `expert` is. */
uint32_t kimic_next_experts(KimicRuntime *runtime, uint32_t expert, uint32_t *experts, uint32_t room);

/* Whoever loaded or prefetched the expert, with what it reads, does not wait any more. What is not resident yet is
 * dropped as soon as its bytes have arrived, unless it is asked for again. Requests that the host took must be
 * completed all the same. */
void kimic_cancel(KimicRuntime *runtime, uint32_t expert);

/* Facts of a resident expert. ExpertNotResident. */
int32_t kimic_expert_info(KimicRuntime *runtime, uint32_t expert, KimicExpertInfo *info);

/* Keeps a resident expert, and those that it reads, until it is unpinned as often as it was pinned. ExpertNotResident.
 */
int32_t kimic_pin(KimicRuntime *runtime, uint32_t expert);
int32_t kimic_unpin(KimicRuntime *runtime, uint32_t expert);

/* Drops a resident expert that is not pinned; experts that are not resident stay so. ExpertPinned. */
int32_t kimic_evict(KimicRuntime *runtime, uint32_t expert);

/* 16-byte-aligned memory of the arena for the host's inputs and outputs, evicting experts for it if need be. NULL if
 * even that is not enough (kimic_last_error() says so). */
void *kimic_allocate(KimicRuntime *runtime, size_t bytes);
void kimic_free(KimicRuntime *runtime, void *address);

/* Runs a resident expert: y[rows * outputs] = expert(x[rows * inputs]), in f32, rows >= 1. What it reads runs before
 * it, and must be resident. Does not allocate. `x` and `y` are 4-byte aligned, do not overlap and lie in the arena when
 * kernels are linked. ExpertNotResident, NothingToRun.
 */
int32_t kimic_run(KimicRuntime *runtime, uint32_t expert, const float *x, uint32_t rows, float *y);

/* Runs the resident router on one row and writes the `count` best experts, best first, ties to the lower id, as far as
 * thresholds let them answer. count = 0 means the pack's top-k. `scores`, if not NULL, gets the scores of all routed
 * experts. The number of choices goes to `chosen`: at most `count`; 0 if the router abstains and the pack has no
 * fallback for that; if it has, the choice is the fallback with score 0 and weight 1. Does not allocate.
 * PackHasNoRouter, ExpertNotResident (the router), TooManyChoices, RouterOutputs, FeatureNotFinite. */
int32_t kimic_route(KimicRuntime *runtime, const float *x, uint32_t count, KimicChoice *choices, uint32_t *chosen,
                    float *scores);

/* As kimic_route(), and says of every routed expert what became of it: explanations[routedExperts]. */
int32_t kimic_explain(KimicRuntime *runtime, const float *x, uint32_t count, KimicChoice *choices, uint32_t *chosen,
                      KimicExplanation *explanations);

/* Runs the chosen experts and those that they read, all resident, each once, on one row and merges their outputs to
 * y[outputs]. `merge` is a KimicMerge. Outputs are summed in f64 in the order of the choices and rounded to f32 once.
 * Does not allocate. ExpertNotResident, NothingToRun (no choice), UnknownMerge, OutputsDiffer, InputsDiffer,
 * VoteUndecided. */
int32_t kimic_run_chosen(KimicRuntime *runtime, const KimicChoice *choices, uint32_t count, uint32_t merge,
                         const float *x, float *y);

/* Answers `rows` rows in one call: the router chooses `count` experts for each (0: the pack's top-k), they run, and
 * their outputs are merged to y[rows][outputs]. choices[rows][count] and, if not NULL, scores[rows][routed experts] are
 * filled as by kimic_route(); but without `scores` the choices' scores, which would cost as much as an expert, are 0
 * unless `merge` is KIMIC_MERGE_BEST. If the router or a chosen expert is not resident its load is started, as by
 * kimic_load(), and the answer is KIMIC_PENDING; if all are, nothing is allocated. Where fewer than `count` experts
 * answer a row, the ids of its other choices are KIMIC_NO_EXPERT. All chosen experts are loaded before the first one
 * runs, with KIMIC_MERGE_CASCADE too. PackHasNoRouter, RouterAbstained, TooManyChoices, RouterOutputs,
 * FeatureNotFinite, NothingToRun, UnknownMerge, VoteUndecided; InputsDiffer (from the router's), OutputsDiffer (from
 * `outputs`); the errors of loading. */
int32_t kimic_ask(KimicRuntime *runtime, const float *x, uint32_t rows, uint32_t count, uint32_t merge,
                  KimicChoice *choices, float *scores, float *y, uint32_t outputs);

/* How to deal with loads that fail. The host keeps time and chance: `now` is milliseconds since any moment that stays
 * the same. A load goes like this:
 *
 *     kimic_admit(expert, now): may it be tried? Then load it as usual.
 *     kimic_remedy(expert, kind of the error, or 0; ...): what now?
 *
 * Until kimic_set_recovery() nothing is tried again. */

/* OptionMalformed if the jitter is no share, or a time is no number or negative. */
int32_t kimic_set_recovery(KimicRuntime *runtime, const KimicRecovery *recovery);

/* CircuitOpen if the expert has failed too often of late. After KIMIC_OK kimic_remedy() has to follow. */
int32_t kimic_admit(KimicRuntime *runtime, uint32_t expert, double now);

/* Attempt number `attempt` (1 for the first) of an expert has ended: `kind` is 0 if well, else the ErrorKind; with that
 * of Cancelled nothing is known of the expert. `hasCleanedUp`: KIMIC_REMEDY_EVICT was followed already. `chance` is
 * uniform in [0, 1). Returns the KimicRemedy; for RETRY the delay in ms goes to `delay`. */
uint32_t kimic_remedy(KimicRuntime *runtime, uint32_t expert, uint32_t kind, uint32_t attempt, uint32_t hasCleanedUp,
                      double now, double chance, double *delay);

/* Frees what can be had back: the metadata, and every expert that is not pinned. */
void kimic_clean_up(KimicRuntime *runtime);

void kimic_stats(KimicRuntime *runtime, KimicStats *stats);

/* Looks at every allocation and every resident expert. */
void kimic_memory(KimicRuntime *runtime, KimicMemory *memory);

/* The error of the last function that returned one. */
void kimic_last_error(KimicRuntime *runtime, KimicErrorInfo *error);

#ifdef __EMSCRIPTEN__
/* KIMIC_EXCHANGE_BYTES static bytes, 16-byte aligned, for the structs that a JavaScript host passes. */
#define KIMIC_EXCHANGE_BYTES 256u
void *kimic_exchange(void);
#endif

#ifdef __cplusplus
}
#endif

#endif
