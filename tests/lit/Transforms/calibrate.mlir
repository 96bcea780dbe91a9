// RUN: kimic-opt %s --expert-calibrate='lo=-1 hi=3 rows=2' | FileCheck %s
// RUN: kimic-opt %s --expert-calibrate='lo=-1 hi=3 rows=100' > %t.1
// RUN: kimic-opt %s --expert-calibrate='lo=-1 hi=3 rows=100' | diff %t.1 -

// The two rows are (-1, -1) and (3, 3).
// CHECK-LABEL: @monotone
// CHECK-SAME: range(dense<{{\[}}[-1.000000e+00, 3.000000e+00], [-1.000000e+00, 3.000000e+00]]> : tensor<2x2xf32>)
// CHECK: expert.linear %{{.*}} range(dense<{{\[}}[-2.000000e+00, 1.000000e+01], [-6.000000e+00, 2.000000e+00]]> : tensor<2x2xf32>)
// CHECK: expert.activation %{{.*}} range(dense<{{\[}}[-2.000000e+00, 5.000000e+00], [0.000000e+00, 2.000000e+00]]> : tensor<2x2xf32>)
expert.define @monotone(%x: tensor<2xf32>) -> tensor<2xf32> {
  %s = expert.linear %x weights(dense<[[1.0, 2.0], [-1.0, -1.0]]> : tensor<2x2xf32>)
         bias(dense<[1.0, 0.0]> : tensor<2xf32>) : tensor<2xf32> -> tensor<2xf32>
  %a = expert.activation %s functions [linear x 1, linear_piece_rect x 1] limit(dense<5.0> : tensor<2xf32>)
         : tensor<2xf32>
  expert.yield %a : tensor<2xf32>
}
