/* What a runtime has seen of a pack's experts: moving averages of success, latency and confidence, kept across visits
 * (formats/spec/history-v1.md). Something to choose experts by, or to give to a router as features. */
#ifndef KIMIC_HISTORY_H
#define KIMIC_HISTORY_H

#include "runtime/include/kimic/Runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Microseconds since any moment that stays the same. */
typedef double (*KimicClock)(void);

/* What is remembered of one expert. The first three are in 0..1, and 0.5 of an expert that is not remembered. */
typedef struct KimicExperience {
  float success;    /* share of runs among runs and loads that failed */
  float confidence; /* as KIMIC_MERGE_CASCADE has it */
  float latency;    /* microseconds / (microseconds + 100) */
  float microseconds;
  uint32_t runs; /* and loads that failed; 0: not remembered */
} KimicExperience;

#ifdef __cplusplus
static_assert(sizeof(KimicExperience) == 20);
#endif

/* From now on every run of an expert is timed and remembered, and so is every load that fails though memory was enough;
 * with NULL nothing is any more. A call with several rows is one run, with the time per row and the confidence of the
 * first one. As WebAssembly `clock` is a table index, and this and the following functions may need the outside. Takes 25 KB of memory when it is called first. PackNotOpen,
 * ArenaExhausted. */
int32_t kimic_set_clock(KimicRuntime *runtime, KimicClock clock);

/* What is remembered of the expert. PackNotOpen, ArenaExhausted. */
int32_t kimic_experience(KimicRuntime *runtime, uint32_t expert, KimicExperience *experience);

/* Writes the history to `bytes`, if it has `room`; `length` becomes the bytes that it takes. PackNotOpen,
 * ArenaExhausted. */
int32_t kimic_export_history(KimicRuntime *runtime, uint8_t *bytes, uint32_t room, uint32_t *length);

/* Replaces the history by one that was exported, or leaves it as it is. HistoryMalformed, HistoryVersion,
 * HistoryOfOtherPack, PackNotOpen, ArenaExhausted. */
int32_t kimic_import_history(KimicRuntime *runtime, const uint8_t *bytes, uint32_t length);

#ifdef __cplusplus
}
#endif

#endif
