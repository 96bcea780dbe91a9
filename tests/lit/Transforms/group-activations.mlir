// RUN: kimic-opt %s --expert-group-activations | FileCheck %s

// Rows of the layer, and columns of its readers, follow the permutation 1, 3, 0, 2: sigmoid is FANN's number 3, elliot
// 10. Outputs keep their order; neighbours of the same function become one run.
// CHECK-LABEL: @mixed
// CHECK: expert.linear %{{.*}} weights(dense<{{\[}}[2.000000e+00], [4.000000e+00], [1.000000e+00], [3.000000e+00]]> : tensor<4x1xf32>) bias(dense<[2.000000e+01, 4.000000e+01, 1.000000e+01, 3.000000e+01]> : tensor<4xf32>)
// CHECK: functions [sigmoid x 2, elliot x 2] limit(dense<[2.000000e+02, 4.000000e+02, 1.000000e+02, 3.000000e+02]> : tensor<4xf32>)
// CHECK: expert.linear %{{.*}} weights(dense<{{\[}}[6.000000e+00, 8.000000e+00, 5.000000e+00, 7.000000e+00], [2.000000e+00, 4.000000e+00, 1.000000e+00, 3.000000e+00], [0.000000e+00, 0.000000e+00, 0.000000e+00, 0.000000e+00]]> : tensor<3x4xf32>)
// CHECK: functions [elliot x 2, sigmoid x 1]
expert.define @mixed(%x: tensor<1xf32>) -> tensor<3xf32> {
  %s = expert.linear %x weights(dense<[[1.0], [2.0], [3.0], [4.0]]> : tensor<4x1xf32>)
         bias(dense<[10.0, 20.0, 30.0, 40.0]> : tensor<4xf32>) : tensor<1xf32> -> tensor<4xf32>
  %a = expert.activation %s functions [elliot x 1, sigmoid x 1, elliot x 1, sigmoid x 1]
         limit(dense<[100.0, 200.0, 300.0, 400.0]> : tensor<4xf32>) : tensor<4xf32>
  %t = expert.linear %a weights(dense<[[5.0, 6.0, 7.0, 8.0], [1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0]]> : tensor<3x4xf32>)
         bias(dense<0.0> : tensor<3xf32>) : tensor<4xf32> -> tensor<3xf32>
  %y = expert.activation %t functions [elliot x 1, elliot x 1, sigmoid x 1] : tensor<3xf32>
  expert.yield %y : tensor<3xf32>
}

// Columns that do not belong to the layer stay.
// CHECK-LABEL: @shortcut
// CHECK: expert.linear %{{.*}} weights(dense<{{\[}}[9.000000e+00, 2.000000e+00, 1.000000e+00]]> : tensor<1x3xf32>)
expert.define @shortcut(%x: tensor<1xf32>) -> tensor<1xf32> {
  %s = expert.linear %x weights(dense<1.0> : tensor<2x1xf32>) bias(dense<0.0> : tensor<2xf32>)
         : tensor<1xf32> -> tensor<2xf32>
  %a = expert.activation %s functions [elliot x 1, sigmoid x 1] : tensor<2xf32>
  %c = expert.concat %x, %a : tensor<1xf32>, tensor<2xf32> -> tensor<3xf32>
  %t = expert.linear %c weights(dense<[[9.0, 1.0, 2.0]]> : tensor<1x3xf32>) bias(dense<1.0> : tensor<1xf32>)
         : tensor<3xf32> -> tensor<1xf32>
  %y = expert.activation %t functions [linear x 1] : tensor<1xf32>
  expert.yield %y : tensor<1xf32>
}
