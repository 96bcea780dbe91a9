// RUN: kimic-opt %s --expert-fold-steepness | FileCheck %s

// The clamp of FANN is +-150/steepness on the product of steepness and sum: a limit once the product is the sum.
// CHECK-LABEL: @clamped
// CHECK: expert.linear %{{.*}} weights(dense<{{\[}}[1.000000e+00, 2.000000e+00], [8.000000e+00, 1.600000e+01]]> : tensor<2x2xf32>) bias(dense<[5.000000e-01, 2.000000e+00]> : tensor<2xf32>)
// CHECK-NEXT: expert.activation %{{.*}} functions [elliot x 2] limit(dense<[3.000000e+02, 7.500000e+01]> : tensor<2xf32>) : tensor<2xf32>
expert.define @clamped(%x: tensor<2xf32>) -> tensor<2xf32> {
  %s = expert.linear %x weights(dense<[[2.0, 4.0], [4.0, 8.0]]> : tensor<2x2xf32>) bias(dense<1.0> : tensor<2xf32>)
         : tensor<2xf32> -> tensor<2xf32>
  %a = expert.activation %s functions [elliot x 2] steepness(dense<[0.5, 2.0]> : tensor<2xf32>) clamp : tensor<2xf32>
  expert.yield %a : tensor<2xf32>
}

// Without the clamp (ruv-FANN) there is no limit.
// CHECK-LABEL: @unclamped
// CHECK: expert.activation %{{.*}} functions [linear x 1] : tensor<1xf32>
expert.define @unclamped(%x: tensor<2xf32>) -> tensor<1xf32> {
  %s = expert.linear %x weights(dense<2.0> : tensor<1x2xf32>) bias(dense<1.0> : tensor<1xf32>)
         : tensor<2xf32> -> tensor<1xf32>
  %a = expert.activation %s functions [linear x 1] steepness(dense<0.5> : tensor<1xf32>) : tensor<1xf32>
  expert.yield %a : tensor<1xf32>
}

// Steepness 0 makes t zero, and no finite limit matters.
// CHECK-LABEL: @zero
// CHECK: weights(dense<0.000000e+00> : tensor<1x2xf32>)
// CHECK-NEXT: limit(dense<3.40282347E+38> : tensor<1xf32>)
expert.define @zero(%x: tensor<2xf32>) -> tensor<1xf32> {
  %s = expert.linear %x weights(dense<2.0> : tensor<1x2xf32>) bias(dense<1.0> : tensor<1xf32>)
         : tensor<2xf32> -> tensor<1xf32>
  %a = expert.activation %s functions [sigmoid x 1] steepness(dense<0.0> : tensor<1xf32>) clamp : tensor<1xf32>
  expert.yield %a : tensor<1xf32>
}
