/* Who makes room when memory is short. Without this, whoever was used longest ago. */
#ifndef KIMIC_CACHE_H
#define KIMIC_CACHE_H

#include "runtime/include/kimic/Runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum KimicCachePolicy {
  KIMIC_CACHE_LRU = 0,      /* who was used longest ago */
  KIMIC_CACHE_SCORE = 1,    /* who has the lowest moving average of the router's scores */
  KIMIC_CACHE_ADAPTIVE = 2, /* ARC by bytes: balances who was used once and who was used again by what it evicted too
                               early */
} KimicCachePolicy;

/* Experts that kimic_next_experts() adds by the averages of their scores, at most. */
#define KIMIC_LIKELY_EXPERTS 4u

/* From now on experts make room by this policy; those that were never used since they were fetched ahead still go first,
 * and those that are pinned stay. With `hasAverages` 1, and always with KIMIC_CACHE_SCORE, moving averages of the
 * router's scores are kept, and kimic_next_experts() goes by them too: a request (kimic_ask, or kimic_route and what runs
 * then) counts a sixteenth of all before it, and of experts that no router scores every use counts as a score of 1.
 * Scores are computed for that which kimic_ask would not need. Takes 36 bytes of memory per expert of the pack; what an
 * earlier call had learnt is lost. KIMIC_CACHE_LRU without averages takes none. Answers do not depend on it. In
 * WebAssembly it may need the outside. PackNotOpen, OptionMalformed, ArenaExhausted. */
int32_t kimic_set_cache(KimicRuntime *runtime, uint32_t policy, uint32_t hasAverages);

#ifdef __cplusplus
}
#endif

#endif
