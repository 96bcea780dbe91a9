// RUN: kimic-opt %s --expert-fold-constants | FileCheck %s

// Neuron 0 has no weights: linear of its bias 0.5. Neuron 1 is gaussian_stepwise: 0. Their readers' biases take them.
// CHECK-LABEL: @two
// CHECK: expert.linear %{{.*}} weights(dense<{{\[}}[0.000000e+00, 0.000000e+00, 5.000000e+00]]> : tensor<1x3xf32>) bias(dense<2.500000e+00> : tensor<1xf32>)
expert.define @two(%x: tensor<1xf32>) -> tensor<1xf32> {
  %s = expert.linear %x weights(dense<[[0.0], [1.0], [1.0]]> : tensor<3x1xf32>) bias(dense<0.5> : tensor<3xf32>)
         : tensor<1xf32> -> tensor<3xf32>
  %a = expert.activation %s functions [linear x 1, gaussian_stepwise x 1, sigmoid x 1] : tensor<3xf32>
  %t = expert.linear %a weights(dense<[[3.0, 4.0, 5.0]]> : tensor<1x3xf32>) bias(dense<1.0> : tensor<1xf32>)
         : tensor<3xf32> -> tensor<1xf32>
  %y = expert.activation %t functions [linear x 1] : tensor<1xf32>
  expert.yield %y : tensor<1xf32>
}

// The limit holds for constants too.
// CHECK-LABEL: @limited
// CHECK: expert.linear %{{.*}} weights(dense<{{\[}}[0.000000e+00, 1.000000e+00]]> : tensor<1x2xf32>) bias(dense<1.500000e+01> : tensor<1xf32>)
expert.define @limited(%x: tensor<1xf32>) -> tensor<1xf32> {
  %s = expert.linear %x weights(dense<[[0.0], [1.0]]> : tensor<2x1xf32>) bias(dense<100.0> : tensor<2xf32>)
         : tensor<1xf32> -> tensor<2xf32>
  %a = expert.activation %s functions [linear x 2] limit(dense<15.0> : tensor<2xf32>) : tensor<2xf32>
  %t = expert.linear %a weights(dense<1.0> : tensor<1x2xf32>) bias(dense<0.0> : tensor<1xf32>)
         : tensor<2xf32> -> tensor<1xf32>
  %y = expert.activation %t functions [linear x 1] : tensor<1xf32>
  expert.yield %y : tensor<1xf32>
}
