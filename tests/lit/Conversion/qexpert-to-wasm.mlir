// RUN: kimic-opt %s --convert-qexpert-to-wasm | FileCheck %s
// RUN: kimic-opt %s --convert-qexpert-to-wasm=variant=scalar | FileCheck %s --check-prefix=SCALAR

// CHECK: qexpert.kernel @two
// CHECK: wasm.module memory "env" "memory" {
// SCALAR-NOT: v128
// SCALAR: wasm.func @two(%{{.*}}: i32, %{{.*}}: i32, %{{.*}}: i32, %{{.*}}: i32, %{{.*}}: i32) attributes {exportName = "k0"}
// SCALAR-NOT: v128

// CHECK: wasm.func @two(%[[PARAMS:.*]]: i32, %[[X:.*]]: i32, %[[Y:.*]]: i32, %[[SCRATCH:.*]]: i32, %[[ROWS:.*]]: i32) attributes {exportName = "k0"}
// Tiles of up to four rows are the outermost loop. Inside, rows are read one by one.
// CHECK: wasm.loop (%[[TILE:.*]] = %[[X]], %{{.*}} = %[[Y]], %{{.*}} = %[[ROWS]]) : i32, i32, i32
// CHECK: wasm.loop (%[[ROW:.*]] = %[[TILE]], %{{.*}} = %[[SCRATCH]]) : i32, i32
// Two inputs are read, no third.
// CHECK: wasm.v128.load64_zero %[[ROW]] align 2
// CHECK: wasm.f32x4.mul
// CHECK: wasm.f32x4.pmax
// CHECK: wasm.f32x4.pmin
// CHECK: wasm.i16x8.narrow_i32x4_s
// CHECK: wasm.continue
// Four rows: one pair of inputs, so no loop; one group of eight outputs, so two sums of each row.
// CHECK: wasm.loop if
// CHECK-NOT: wasm.loop
// CHECK-COUNT-1: wasm.i16x8.shr_s
// CHECK-COUNT-4: wasm.v128.load32_splat %[[SCRATCH]]
// CHECK-NOT: wasm.i16x8.shr_s
// Three outputs have rows of weights of their own, here one by one.
// CHECK: wasm.loop (
// CHECK: wasm.v128.load8x8_s
// CHECK-COUNT-4: wasm.v128.store32_lane
// CHECK: wasm.continue
// A single row.
// CHECK: wasm.loop if
// CHECK: wasm.loop (
// CHECK: wasm.v128.load32_splat
// CHECK: wasm.i32x4.dot_i16x8_s
// CHECK: wasm.i16x8.shr_s
// CHECK: wasm.i32x4.dot_i16x8_s
// CHECK: wasm.i32x4.sub
// CHECK-COUNT-3: wasm.v128.load8x8_s %[[PARAMS]]
// CHECK-NOT: wasm.v128.load8x8_s
// Eleven outputs are written, no twelfth.
// CHECK: wasm.loop (%[[OUT:.*]] = %{{.*}}, %{{.*}} = %[[SCRATCH]]) : i32, i32
// CHECK: wasm.v128.store %[[OUT]], %{{.*}} align 2
// CHECK: wasm.v128.store %[[OUT]], %{{.*}} offset 16 align 2
// CHECK: wasm.v128.store64_lane %[[OUT]], %{{.*}}[0] offset 32 align 2
// CHECK: wasm.v128.store32_lane %[[OUT]], %{{.*}}[2] offset 40
// CHECK-NOT: wasm.v128.store
// CHECK: wasm.continue
// CHECK: wasm.func @wide({{.*}}) attributes {exportName = "k1"}
// CHECK: wasm.custom "kimic.kernel" "\01"

qexpert.kernel @two signature(<2 -> [0: linear x 11]>) parameters 176 scratch 384
qexpert.kernel @wide signature(<64 -> [0: sigmoid_symmetric x 40] -> [64: linear x 1 clamped], affine>)
  parameters 3328 scratch 1600
