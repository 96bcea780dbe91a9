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

#define KIMIC_ABI_VERSION 2u

#define KIMIC_OK 0
#define KIMIC_PENDING (-1)

typedef struct KimicRuntime KimicRuntime;

/* What runs an expert. Every one computes the same bits. */
enum KimicVariant {
  KIMIC_VARIANT_GENERIC = 0, /* no kernel: the evaluator inside the runtime */
  KIMIC_VARIANT_SCALAR = 1,  /* this and the following as in abi::Variant */
  KIMIC_VARIANT_SIMD128 = 2,
  KIMIC_VARIANT_RELAXED = 3,
  KIMIC_VARIANT_NATIVE = 4,  /* not in packs and not in WebAssembly: functions that the host makes for its processor */
};

typedef struct KimicOptions {
  uint64_t arenaBytes; /* hard cap of the memory that the runtime uses: KIMIC_MINIMUM_ARENA .. KIMIC_MAXIMUM_ARENA */
  uint32_t variants;   /* bit v-1: the host can link kernels of KimicVariant v. Of those that the pack has, the highest
                          is linked; 0: every expert runs generically and no module is read. With the bit of
                          KIMIC_VARIANT_NATIVE no module is read either, but the host is asked for a function for each
                          kernel when it is first needed */
  uint32_t reserved;   /* 0 */
} KimicOptions;

#define KIMIC_MINIMUM_ARENA 131072u
#define KIMIC_MAXIMUM_ARENA 4294901760u /* 4 GiB - 64 KiB */

enum KimicRequestKind {
  KIMIC_REQUEST_READ = 1, /* put bytes [offset, offset + length) of the pack at `address` */
  /* Compile the module of `length` bytes at `address` and put its kernels into the table. With KIMIC_VARIANT_NATIVE the
     bytes are the signature of one kernel. */
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
  uint64_t packBytes;      /* length that the header states */
  uint32_t experts;        /* ids are 0 .. experts-1 */
  uint32_t kernels;
  uint32_t routerExpert;   /* id of the router's own network, or KIMIC_NO_EXPERT */
  uint32_t routedExperts;  /* the router chooses among ids 0 .. routedExperts-1 */
  uint32_t topK;           /* experts that the pack's router chooses */
  uint32_t merge;          /* KimicMerge of the pack */
  float temperature;       /* scores = softmax(logits / temperature) */
  uint32_t metadataBytes;  /* 0: the pack has no metadata */
  uint8_t digest[KIMIC_DIGEST_BYTES]; /* SHA-256 of the pack's header, which vouches for all the rest */
} KimicPackInfo;

typedef struct KimicExpertInfo {
  uint32_t inputs;         /* numbers per row */
  uint32_t outputs;
  uint32_t parameterBytes;
  uint32_t kernel;         /* pack-wide kernel id */
  uint32_t variant;        /* KimicVariant that runs it */
  uint32_t domain;         /* number of the expert's domain */
  float confidenceThreshold;
  uint32_t reserved;       /* 0 */
} KimicExpertInfo;

/* One expert that the router chose. */
typedef struct KimicChoice {
  uint32_t expert;
  float score;  /* its softmax probability among all routed experts */
  float weight; /* its share among the chosen: score / sum of the chosen scores */
} KimicChoice;

enum KimicMerge {
  KIMIC_MERGE_AVERAGE = 0,  /* mean of the chosen experts' outputs */
  KIMIC_MERGE_WEIGHTED = 1, /* sum of weight * output */
  KIMIC_MERGE_BEST = 2,     /* the output of the expert with the highest score */
};

typedef struct KimicBytes {
  uint64_t address;
  uint64_t length;
} KimicBytes;

typedef struct KimicStats {
  uint64_t arenaCap;        /* bytes */
  uint64_t arenaUsed;       /* bytes of live allocations, bookkeeping included */
  uint64_t arenaPeak;       /* most bytes that were ever in use */
  uint64_t residentBytes;   /* parameters of the resident experts */
  uint32_t residentExperts;
  uint32_t linkedKernels;
  uint64_t hits;            /* loads that found the expert resident */
  uint64_t misses;          /* loads that had to read it */
  uint64_t evictions;       /* experts dropped to make room */
  uint32_t prefetched;      /* experts that became resident without a load */
  uint32_t prefetchedUsed;  /* those of them that a load found resident later */
} KimicStats;

#ifdef __cplusplus
static_assert(sizeof(KimicOptions) == 16 && sizeof(KimicRequest) == 48 && sizeof(KimicErrorInfo) == 32);
static_assert(sizeof(KimicPackInfo) == 72 && sizeof(KimicExpertInfo) == 32 && sizeof(KimicChoice) == 12);
static_assert(sizeof(KimicBytes) == 16 && sizeof(KimicStats) == 72);
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

/* Makes the expert resident, with its kernel, and counts as its use. Experts that were used longest ago and are not
 * pinned make room. UnknownExpert; ArenaExhausted if even that is not enough; the errors of reading the pack. */
int32_t kimic_load(KimicRuntime *runtime, uint32_t expert);

/* Like kimic_load(), but nobody waits: the requests have the priority KIMIC_PREFETCH, and memory is taken only if it is
 * free or holds experts that were prefetched earlier and never used (else ArenaExhausted, which harms nothing). Being
 * prefetched is not a use: such experts are the first to make room. */
int32_t kimic_prefetch(KimicRuntime *runtime, uint32_t expert);

/* Whoever loaded or prefetched the expert does not wait any more. What is not resident yet is dropped as soon as its
 * bytes have arrived, unless it is asked for again. Requests that the host took must be completed all the same. */
void kimic_cancel(KimicRuntime *runtime, uint32_t expert);

/* Facts of a resident expert. ExpertNotResident. */
int32_t kimic_expert_info(KimicRuntime *runtime, uint32_t expert, KimicExpertInfo *info);

/* Keeps a resident expert until it is unpinned as often as it was pinned. ExpertNotResident. */
int32_t kimic_pin(KimicRuntime *runtime, uint32_t expert);
int32_t kimic_unpin(KimicRuntime *runtime, uint32_t expert);

/* Drops a resident expert that is not pinned; experts that are not resident stay so. ExpertPinned. */
int32_t kimic_evict(KimicRuntime *runtime, uint32_t expert);

/* 16-byte-aligned memory of the arena for the host's inputs and outputs, evicting experts for it if need be. NULL if
 * even that is not enough (kimic_last_error() says so). */
void *kimic_allocate(KimicRuntime *runtime, size_t bytes);
void kimic_free(KimicRuntime *runtime, void *address);

/* Runs a resident expert: y[rows * outputs] = expert(x[rows * inputs]), in f32, rows >= 1. Does not allocate. `x` and
 * `y` are 4-byte aligned, do not overlap and lie in the arena when kernels are linked. ExpertNotResident, NothingToRun. */
int32_t kimic_run(KimicRuntime *runtime, uint32_t expert, const float *x, uint32_t rows, float *y);

/* Runs the resident router on one row and writes the `count` best experts, best first, ties to the lower id.
 * count = 0 means the pack's top-k. `scores`, if not NULL, gets the softmax probabilities of all routed experts.
 * The number of choices goes to `chosen`; it is `count`, or the pack's top-k. Does not allocate.
 * PackHasNoRouter, ExpertNotResident (the router), TooManyChoices. */
int32_t kimic_route(KimicRuntime *runtime, const float *x, uint32_t count, KimicChoice *choices, uint32_t *chosen,
                    float *scores);

/* Runs the chosen experts, all resident, on one row and merges their outputs to y[outputs]. `merge` is a KimicMerge.
 * Outputs are summed in f64 in the order of the choices and rounded to f32 once. Does not allocate.
 * ExpertNotResident, NothingToRun (no choice), UnknownMerge, OutputsDiffer, InputsDiffer. */
int32_t kimic_run_chosen(KimicRuntime *runtime, const KimicChoice *choices, uint32_t count, uint32_t merge,
                         const float *x, float *y);

/* Answers `rows` rows in one call: the router chooses `count` experts for each (0: the pack's top-k), they run, and their
 * outputs are merged to y[rows][outputs]. choices[rows][count] and, if not NULL, scores[rows][routed experts] are filled
 * as by kimic_route(), but without `scores` the choices' scores are 0: they would cost as much as an expert. If the router or a chosen expert is not resident its load is started, as by kimic_load(), and the
 * answer is KIMIC_PENDING; if all are, nothing is allocated.
 * PackHasNoRouter, TooManyChoices, NothingToRun, UnknownMerge; InputsDiffer (from the router's), OutputsDiffer (from
 * `outputs`); the errors of loading. */
int32_t kimic_ask(KimicRuntime *runtime, const float *x, uint32_t rows, uint32_t count, uint32_t merge,
                  KimicChoice *choices, float *scores, float *y, uint32_t outputs);

void kimic_stats(KimicRuntime *runtime, KimicStats *stats);

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
