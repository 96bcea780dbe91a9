// RUN: kimic-opt %S/Inputs/three-experts.mlir --qexpert-pack-weights --qexpert-outline-kernels | FileCheck %s

// Two of the three experts have the same signature.
// CHECK: qexpert.kernel @[[FIRST:.*]] signature(<1 -> [0: linear x 1]>) parameters
// CHECK-NEXT: qexpert.kernel @[[SECOND:.*]] signature(<1 -> [0: sigmoid x 1]>) parameters
// CHECK-NEXT: qexpert.expert @a kernel(@[[FIRST]])
// CHECK-NEXT: qexpert.expert @b kernel(@[[SECOND]])
// CHECK-NEXT: qexpert.expert @c kernel(@[[FIRST]])
