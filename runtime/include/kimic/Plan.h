/* Execution plans: what an answer needs, and answers that do not fit into memory at once. */
#ifndef KIMIC_PLAN_H
#define KIMIC_PLAN_H

#include "runtime/include/kimic/Runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The most experts that one answer may need. */
#define KIMIC_MOST_STEPS 256u

/* One expert of an execution plan. Steps come in the order in which they can run. */
typedef struct KimicStep {
  uint32_t expert;
  uint32_t level;  /* 0: reads the whole request; else 1 more than the highest level of the experts that it reads */
  uint32_t group;  /* experts of a group do not read each other and have room side by side; groups run in order */
  uint32_t inputs; /* numbers per row, as in KimicExpertInfo */
  uint32_t outputs;
  uint32_t first;        /* where its outputs are in the values of the plan */
  uint32_t bytes;        /* its parameters */
  uint32_t missingBytes; /* that have to be read for it; 0 if it is resident */
  uint32_t loadBytes;    /* memory that it takes while it is loaded, at most; 0 if it is pinned */
  float threshold;       /* of its confidence */
  float microseconds;    /* estimate of its run: what was measured (kimic_set_clock), else from the size of its
                            parameters */
  uint32_t isDone;       /* kimic_run_plan() has run it */
} KimicStep;

typedef struct KimicPlan {
  uint32_t steps, groups;
  uint32_t values;       /* outputs of all steps together */
  float microseconds;    /* of all steps, one after another */
  uint64_t bytes;        /* parameters of all steps */
  uint64_t missingBytes; /* that have to be read for those that are not resident */
} KimicPlan;

#ifdef __cplusplus
static_assert(sizeof(KimicStep) == 48 && sizeof(KimicPlan) == 32);
#endif

/* Makes the plan for an answer of these experts: they and what they read, each behind what it reads, in groups that fit
 * into memory. `steps` has room for KIMIC_MOST_STEPS. May need the outside, for the directory and the kernels of the
 * experts, not for their parameters. NothingToRun, UnknownExpert; PlanTooLarge; ExpertTooLarge: even alone, one of them
 * does not fit beside the outputs of all. */
int32_t kimic_plan(KimicRuntime *runtime, const KimicChoice *choices, uint32_t count, KimicPlan *plan,
                   KimicStep *steps);

/* The answer of a plan, for when its experts do not fit into memory together: as kimic_run_chosen(), but loads the
 * experts group by group, runs each as soon as it is there, and keeps only its outputs, in `values`, which has room for
 * KimicPlan.values. `steps` are those of kimic_plan() for the same choices and hold how far it is; a row begins with
 * none of them done. May need the outside. The bits are those of kimic_run_chosen(). The errors of loading, and its. */
int32_t kimic_run_plan(KimicRuntime *runtime, KimicStep *steps, uint32_t stepCount, const KimicChoice *choices,
                       uint32_t count, uint32_t merge, const float *x, float *values, float *y);

#ifdef __cplusplus
}
#endif

#endif
